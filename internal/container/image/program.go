package image

import (
	"bufio"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Program is what can be said of an executable file before it runs.
type Program struct {
	Path string
	// Interpreter is the program that a script names in its first line; then the rest is about that one.
	Interpreter string
	Static      bool
	Loader      string // the dynamic loader of a program that is not static
	SetID       bool   // the loader ignores LD_PRELOAD
	NotELF      bool   // neither a program nor a script with an interpreter
}

// Musl says whether the program runs on musl's C library instead of glibc.
func (p Program) Musl() bool { return strings.Contains(p.Loader, "ld-musl") }

// maxScripts bounds how many scripts may name one another as interpreters, as the kernel does.
const maxScripts = 5

// Inspect looks at the executable file path.
func Inspect(path string) (Program, error) {
	p := Program{Path: path}
	for range maxScripts {
		f, err := os.Open(path)
		if err != nil {
			return p, fmt.Errorf("look at program: %w", err)
		}
		next, err := p.inspect(f)
		f.Close()
		if err != nil || next == "" {
			return p, err
		}
		p.Interpreter, path = next, next
	}
	return p, fmt.Errorf("look at program %s: too many interpreters", p.Path)
}

// inspect looks at one file, and returns its interpreter if it is a script.
func (p *Program) inspect(f *os.File) (interpreter string, err error) {
	st, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("look at program: %w", err)
	}
	if interpreter := scriptInterpreter(f); interpreter != "" {
		return interpreter, nil
	}
	p.SetID = isSetID(st)
	file, err := elf.NewFile(f)
	if err != nil {
		p.NotELF = true
		return "", nil
	}
	p.Loader = loader(file)
	p.Static = p.Loader == ""
	return "", nil
}

// isSetID says whether running the file changes the user or group: set-group-ID without permission to
// execute for the group means something else.
func isSetID(st fs.FileInfo) bool {
	return st.Mode()&fs.ModeSetuid != 0 || st.Mode()&fs.ModeSetgid != 0 && st.Mode()&0o010 != 0
}

func scriptInterpreter(f *os.File) string {
	head := make([]byte, 256)
	n, _ := f.ReadAt(head, 0)
	line, _ := bufio.NewReader(strings.NewReader(string(head[:n]))).ReadString('\n')
	rest, ok := strings.CutPrefix(line, "#!")
	if !ok {
		return ""
	}
	if fields := strings.Fields(rest); len(fields) > 0 {
		return fields[0]
	}
	return ""
}

func loader(file *elf.File) string {
	for _, prog := range file.Progs {
		if prog.Type != elf.PT_INTERP || prog.Filesz > 4096 {
			continue
		}
		name := make([]byte, prog.Filesz)
		if _, err := prog.ReadAt(name, 0); err == nil {
			return strings.TrimRight(string(name), "\x00")
		}
	}
	return ""
}

// Warning says in one line why RDMA will not work in the program; nothing if it can.
func (p Program) Warning() string {
	name := p.Path
	if p.Interpreter != "" {
		name = p.Interpreter + " (the interpreter of " + p.Path + ")"
	}
	switch {
	case p.NotELF:
		return ""
	case p.Static:
		return name + " is a static binary, into which nothing can be preloaded: it sees no RDMA device (programs that it starts may)"
	case p.Musl():
		return name + " runs on musl, for which the preloaded library is not built: it sees no RDMA device"
	case p.SetID && os.Geteuid() != 0:
		return name + " is set-user-ID or set-group-ID, for which the loader ignores LD_PRELOAD: it sees no RDMA device"
	}
	return ""
}
