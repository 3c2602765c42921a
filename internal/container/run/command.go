package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/container/image"
)

// commandStatus is the exit status for a program that did not start.
func commandStatus(err error) int {
	switch {
	case errors.Is(err, image.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return ExitNotFound
	case errors.Is(err, image.ErrNotExecutable), errors.Is(err, fs.ErrPermission), errors.Is(err, unix.ENOEXEC):
		return ExitNotExecutable
	}
	return ExitFailed
}

// child is the running program.
type child struct {
	pid   int
	pidfd int
	// terminal is the controlling terminal that the program shares with us, -1 if there is none.
	terminal int
}

// start forks the program from the calling thread, whose network namespace it is in then and whose end
// it does not survive. It has our descriptors: 0, 1, 2 and whatever else we were given.
func start(path string, args, env []string) (*child, error) {
	c := &child{pidfd: -1, terminal: openTerminal()}
	attr := &syscall.ProcAttr{
		Env:   env,
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: c.terminal < 0, PidFD: &c.pidfd},
	}
	var err error
	c.pid, err = syscall.ForkExec(path, args, attr)
	if errors.Is(err, unix.ENOEXEC) { // a script without a first line that says so: as execvp does
		c.pid, err = syscall.ForkExec("/bin/sh", append([]string{"sh", path}, args[1:]...), attr)
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return c, nil
}

// openTerminal opens the controlling terminal, if there is one.
func openTerminal() int {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

// wait passes signals on until the program ends, and returns its exit status.
func (c *child) wait(signals *signals) int {
	ended := make(chan unix.WaitStatus, 1)
	go func() { ended <- c.reap() }()
	for {
		select {
		case sig := <-signals.ch:
			if !c.hasFromTerminal(sig) {
				// One that has just ended needs no signal.
				_ = unix.PidfdSendSignal(c.pidfd, sig.(syscall.Signal), nil, 0)
			}
		case status := <-ended:
			if status.Signaled() {
				return exitSignal + int(status.Signal())
			}
			return status.ExitStatus()
		}
	}
}

func (c *child) reap() unix.WaitStatus {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(c.pid, &status, 0, nil)
		if pid == c.pid && (status.Exited() || status.Signaled()) {
			return status
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return unix.WaitStatus(ExitFailed << 8) // somebody else reaped our child: cannot be
		}
	}
}

// hasFromTerminal says whether the program got the signal from the terminal as we did: the terminal sends
// to all processes of the foreground group.
func (c *child) hasFromTerminal(sig os.Signal) bool {
	if c.terminal < 0 || sig != unix.SIGINT && sig != unix.SIGQUIT && sig != unix.SIGWINCH {
		return false
	}
	foreground, err := unix.IoctlGetInt(c.terminal, unix.TIOCGPGRP)
	return err == nil && foreground == unix.Getpgrp()
}
