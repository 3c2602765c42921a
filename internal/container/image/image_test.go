package image

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, path, content string, mode os.FileMode) string {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

func inspect(t *testing.T, path string) Program {
	t.Helper()
	p, err := Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestInspectDynamicProgram(t *testing.T) {
	if p := inspect(t, "/bin/sh"); p.Static || p.Loader == "" || p.Warning() != "" {
		t.Errorf("/bin/sh: %+v, %q", p, p.Warning())
	}
}

// The header of an ELF file without program headers: nothing names a loader.
const staticELF = "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00\x01\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x40\x00\x38\x00\x00\x00\x40\x00\x00\x00\x00\x00"

func TestInspectStaticProgramAndItsScripts(t *testing.T) {
	dir := t.TempDir()
	static := write(t, dir+"/static", staticELF, 0o755)
	if p := inspect(t, static); !p.Static || !strings.Contains(p.Warning(), "static") {
		t.Errorf("static: %+v, %q", p, p.Warning())
	}
	script := write(t, dir+"/script", "#! "+static+" -x\nrest\n", 0o755)
	if p := inspect(t, script); !p.Static || p.Interpreter != static {
		t.Errorf("script: %+v", p)
	}
	if p := inspect(t, write(t, dir+"/text", "exit 0\n", 0o755)); !p.NotELF || p.Warning() != "" {
		t.Errorf("text: %+v", p)
	}
	loop := write(t, dir+"/loop", "#!"+dir+"/loop\n", 0o755)
	if _, err := Inspect(loop); err == nil {
		t.Error("a script that interprets itself was followed")
	}
}

func TestWarnings(t *testing.T) {
	if w := (Program{Path: "p", Loader: "/lib/ld-musl-x86_64.so.1"}).Warning(); !strings.Contains(w, "musl") {
		t.Errorf("musl: %q", w)
	}
	if w := (Program{Path: "p", Loader: "/lib64/ld-linux-x86-64.so.2", SetID: true}).Warning(); (w == "") != (os.Geteuid() == 0) {
		t.Errorf("set-user-ID: %q", w)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	program := write(t, dir+"/a/program", "", 0o755)
	write(t, dir+"/a/data", "", 0o644)
	write(t, dir+"/b/data", "", 0o755)
	path := dir + "/a:" + dir + "/b"
	for _, c := range []struct {
		name, path, want string
		err              error
	}{
		{"program", path, program, nil},
		{"data", path, dir + "/b/data", nil},
		{"data", dir + "/a", "", ErrNotExecutable},
		{"nothing", path, "", ErrNotFound},
		{program, "", program, nil},
		{dir + "/a/data", path, "", ErrNotExecutable},
		{dir + "/a", path, "", ErrNotExecutable},
		{"./nothing", path, "", ErrNotFound},
	} {
		got, err := Find(c.name, c.path)
		if !errors.Is(err, c.err) || err == nil && got != c.want {
			t.Errorf("find %q in %q: %q, %v; want %q, %v", c.name, c.path, got, err, c.want, c.err)
		}
	}
}

func TestFindLibraries(t *testing.T) {
	root := t.TempDir()
	if l := FindLibraries(root, ""); l != (Libraries{}) || !strings.Contains(l.Warning(), "rxe provider") {
		t.Errorf("of nothing: %+v", l)
	}
	verbs := write(t, root+"/usr/lib/x86_64-linux-gnu/libibverbs.so.1", "", 0o644)
	provider := write(t, root+"/usr/lib64/libibverbs/librxe-rdmav59.so", "", 0o644)
	write(t, root+"/etc/libibverbs.d/rxe.driver", "driver rxe\n", 0o644)
	cm := write(t, root+"/opt/own/librdmacm.so.1", "", 0o644)
	sockets := write(t, root+"/usr/lib/x86_64-linux-gnu/rsocket/librspreload.so", "", 0o644)
	l := FindLibraries(root, root+"/opt/own")
	if l.Verbs != verbs || l.Provider != provider || l.RDMACM != cm || l.Sockets != sockets || l.Warning() != "" {
		t.Errorf("found %+v, %q", l, l.Warning())
	}
}
