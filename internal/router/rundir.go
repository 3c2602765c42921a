package router

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// SocketName is the name in the run directory of the socket that the library connects to.
const SocketName = "router.sock"

// lockRunDir makes the run directory this router's: the kernel gives the lock up with the process, however it ends. Files are
// the predecessor's to leave; each is replaced by whoever makes it anew.
func lockRunDir(dir string) (*os.File, error) {
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o755)); err != nil { // programs of any user find the socket below
		return nil, fmt.Errorf("make run directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "router.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open router lock: %w", err)
	}
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return lock, nil
	}
	lock.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("another router runs on %s: stop it, or choose another --run-dir: %w", dir, err)
	}
	return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
}

// raiseFileLimit asks for as many descriptors as the kernel allows: a context has some ten.
func raiseFileLimit() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read limit of open files: %w", err)
	}
	if limit.Max >= wantedFiles {
		limit.Cur = limit.Max
	} else {
		limit.Cur, limit.Max = wantedFiles, wantedFiles
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise limit of open files to %d: %w", limit.Cur, err)
	}
	return nil
}

const wantedFiles = 1 << 20 // fs.nr_open, unless somebody changed it
