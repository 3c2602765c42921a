package admin

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// SocketName is the socket's name in the run directory.
const SocketName = "admin.sock"

// SocketPath is the admin socket of the router with that run directory.
func SocketPath(runDir string) string { return filepath.Join(runDir, SocketName) }

// maxSocketPath is what sockaddr_un holds, without the final zero.
const maxSocketPath = 106 // and the ~ of the name under which it is made

func checkSocketPath(path string) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("socket path %s is longer than %d bytes: choose a shorter --run-dir", path, maxSocketPath)
	}
	return nil
}

// listen opens the socket. A lock on a file beside it, which the kernel gives up with the process, tells a
// socket left by a killed router from that of a living one.
func listen(runDir string) (net.Listener, *os.File, error) {
	path := SocketPath(runDir)
	if err := checkSocketPath(path); err != nil {
		return nil, nil, err
	}
	lock, err := os.OpenFile(filepath.Join(runDir, "admin.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("open admin lock: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, nil, fmt.Errorf("another router already serves %s: stop it, or choose another --run-dir", runDir)
		}
		return nil, nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	l, err := bind(path)
	if err != nil {
		lock.Close()
		return nil, nil, err
	}
	return l, lock, nil
}

// bind makes the socket under a private name first, so that it never exists with a mode that lets others in.
func bind(path string) (net.Listener, error) {
	temp := path + "~"
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove stale admin socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temp, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on admin socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(temp, 0o600), os.Rename(temp, path)); err != nil {
		l.Close()
		return nil, fmt.Errorf("set up admin socket %s: %w", path, err)
	}
	return l, nil
}
