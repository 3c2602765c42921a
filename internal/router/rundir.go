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

// ErrRunning says that the run directory has a router already.
var ErrRunning = errors.New("another router runs")

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
		return nil, fmt.Errorf("%w on %s: stop it, or choose another --run-dir", ErrRunning, dir)
	}
	return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
}

// raiseFileLimit asks for as many descriptors as the kernel allows, and gives how many there are.
func raiseFileLimit() (uint64, error) {
	limit := unix.Rlimit{Cur: wantedFiles, Max: wantedFiles}
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		return wantedFiles, nil
	}
	// Without CAP_SYS_RESOURCE there is only what we were given.
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read limit of open files: %w", err)
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("raise limit of open files to %d: %w", limit.Cur, err)
	}
	return limit.Cur, nil
}

const wantedFiles = 1 << 20 // fs.nr_open, unless somebody changed it
