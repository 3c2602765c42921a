package run

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newTerminal makes a pseudoterminal: what a person types is written to keyboard.
func newTerminal(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return keyboard, terminal
}

// onTerminal starts a command as a login on a terminal would, and returns the lines that appear there.
func onTerminal(t *testing.T, cmd *exec.Cmd) (keyboard *os.File, lines chan string) {
	t.Helper()
	keyboard, terminal := newTerminal(t)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	terminal.Close()
	lines = make(chan string, 100)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(keyboard); in.Scan(); {
			lines <- strings.TrimSpace(in.Text())
		}
	}()
	return keyboard, lines
}

func wantLine(t *testing.T, lines chan string, want string) {
	t.Helper()
	timeout := time.After(10 * time.Second)
	var seen []string
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatalf("the terminal closed; want %q after %q", want, seen)
			}
			if strings.HasSuffix(line, want) {
				return
			}
			seen = append(seen, line)
		case <-timeout:
			t.Fatalf("the terminal does not show %q, only %q", want, seen)
		}
	}
}

func TestTerminalIsThePrograms(t *testing.T) {
	w := newWorld(t)
	cmd := w.command("bash", "-c", `n=0; trap 'n=$((n+1))' INT; echo ready; read line; echo first; read line; sleep 0.2; echo "$n: $line"`)
	keyboard, lines := onTerminal(t, cmd)
	wantLine(t, lines, "ready")
	fmt.Fprint(keyboard, "one\n")
	wantLine(t, lines, "first")
	fmt.Fprint(keyboard, "\x03") // Ctrl-C
	time.Sleep(200 * time.Millisecond)
	fmt.Fprint(keyboard, "two\n")
	wantLine(t, lines, "1: two")
	if code := status(t, cmd.Wait()); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// A shell with job control stops the container and lets it go on.
func TestJobControl(t *testing.T) {
	w := newWorld(t)
	shell := exec.Command("bash", "--norc", "-m", "-c", `/proc/self/fd/9 sh -c 'echo ready; read line; echo got $line'; echo stopped $?; fg >/dev/null; echo ended $?`)
	shell.Env = w.command().Env
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	shell.ExtraFiles = make([]*os.File, 7)
	shell.ExtraFiles[6] = self
	keyboard, lines := onTerminal(t, shell)
	wantLine(t, lines, "ready")
	fmt.Fprint(keyboard, "\x1a")
	wantLine(t, lines, fmt.Sprint("stopped ", 128+int(syscall.SIGTSTP)))
	fmt.Fprint(keyboard, "hello\n")
	wantLine(t, lines, "got hello")
	wantLine(t, lines, "ended 0")
	w.wantNothingLeft()
}
