package guest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
)

// archive writes an initramfs: a cpio archive of the form "newc" (kernel: Documentation/driver-api/early-userspace/buffer-format.rst).
// Parents are added before what is in them. The first error stays.
type archive struct {
	w    *bufio.Writer
	n    int64 // bytes written
	ino  int
	have map[string]bool
	err  error
}

func newArchive(w io.Writer) *archive {
	return &archive{w: bufio.NewWriterSize(w, 1<<20), have: map[string]bool{".": true, "/": true}}
}

const (
	modeDir  = 0o040000
	modeFile = 0o100000
	modeLink = 0o120000
)

// file adds a copy of a file of this machine.
func (a *archive) file(name, source string) {
	data, err := os.ReadFile(source)
	if err != nil && a.err == nil {
		a.err = err
		return
	}
	a.bytes(name, data)
}

func (a *archive) bytes(name string, data []byte) { a.entry(name, modeFile|0o755, data) }

func (a *archive) symlink(name, target string) { a.entry(name, modeLink|0o777, []byte(target)) }

func (a *archive) dir(name string) { a.entry(name, modeDir|0o755, nil) }

// entry adds one, if there is none of that name.
func (a *archive) entry(name string, mode int, data []byte) {
	name = path.Clean("/" + name)
	if a.err != nil || a.have[name] {
		return
	}
	a.have[name] = true
	if parent := path.Dir(name); !a.have[parent] {
		a.dir(parent)
	}
	a.ino++
	a.record(name[1:], a.ino, mode, data)
}

func (a *archive) record(name string, ino, mode int, data []byte) {
	// magic, ino, mode, uid, gid, nlink, mtime, size, device (2), special device (2), length of the name with its zero, check
	a.printf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
	a.printf("%s\x00", name)
	a.pad()
	n, err := a.w.Write(data)
	a.n += int64(n)
	if err != nil && a.err == nil {
		a.err = err
	}
	a.pad()
}

func (a *archive) printf(format string, args ...any) {
	n, err := fmt.Fprintf(a.w, format, args...)
	a.n += int64(n)
	if err != nil && a.err == nil {
		a.err = err
	}
}

// pad fills up to a multiple of four bytes.
func (a *archive) pad() {
	for a.n%4 != 0 {
		a.printf("\x00")
	}
}

// close ends the archive and gives the first error.
func (a *archive) close() error {
	if a.err == nil {
		a.record("TRAILER!!!", 0, 0, nil)
	}
	if err := a.w.Flush(); err != nil && a.err == nil {
		a.err = err
	}
	return a.err
}
