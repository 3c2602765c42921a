package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/top"
)

// terminal is the user's, drawn on as a whole, with keys that come one by one.
type terminal struct {
	in, out *os.File
	before  *unix.Termios // nil if there are no keys
	keys    chan byte     // closed when the terminal is gone
}

// openTerminal takes the terminal over until close. Without one to read keys from, only signals end it.
func openTerminal(in, out *os.File) (*terminal, error) {
	t := &terminal{in: in, out: out, keys: make(chan byte)}
	if isTerminal(in) {
		before, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS)
		if err != nil {
			return nil, fmt.Errorf("read the terminal's settings: %w", err)
		}
		now := *before
		now.Lflag &^= unix.ICANON | unix.ECHO // Ctrl-C stays a signal
		now.Cc[unix.VMIN], now.Cc[unix.VTIME] = 1, 0
		if err := unix.IoctlSetTermios(int(in.Fd()), unix.TCSETS, &now); err != nil {
			return nil, fmt.Errorf("change the terminal's settings: %w", err)
		}
		t.before = before
		go t.read()
	}
	if _, err := out.WriteString(top.Enter); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// read hands on keys. It ends with the program, or with the terminal.
func (t *terminal) read() {
	defer close(t.keys)
	var b [1]byte
	for {
		if _, err := t.in.Read(b[:]); err != nil {
			return
		}
		t.keys <- b[0]
	}
}

// draw shows the view in the size that the terminal has now.
func (t *terminal) draw(v *top.View) error {
	size := top.Size{Width: 80, Height: 24}
	if w, err := unix.IoctlGetWinsize(int(t.out.Fd()), unix.TIOCGWINSZ); err == nil && w.Col > 0 && w.Row > 0 {
		size = top.Size{Width: int(w.Col), Height: int(w.Row)}
	}
	_, err := t.out.WriteString(top.Screen(v.Lines(size)))
	return err
}

// close gives the terminal back as it was.
func (t *terminal) close() error {
	_, err := t.out.WriteString(top.Leave)
	if t.before != nil {
		err = errors.Join(err, unix.IoctlSetTermios(int(t.in.Fd()), unix.TCSETS, t.before))
	}
	return err
}
