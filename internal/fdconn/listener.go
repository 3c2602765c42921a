package fdconn

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// Listener accepts connections on a path. The path's owner holds a lock that keeps other routers away (package router).
type Listener struct {
	l    *net.UnixListener
	path string
}

// maxPath is what sockaddr_un holds, without the final zero.
const maxPath = 107

// Listen makes the socket at path, in place of one that a killed router left, with that mode. The socket is made under
// another name first: it never exists with a mode that is not its own, nor before it answers.
func Listen(path string, mode os.FileMode) (*Listener, error) {
	temp := path + "~"
	if len(temp) > maxPath {
		return nil, fmt.Errorf("socket path %s is longer than %d bytes: choose a shorter run directory", path, maxPath-1)
	}
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove stale socket: %w", err)
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: temp, Net: "unixpacket"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(temp, mode), os.Rename(temp, path)); err != nil {
		l.Close()
		return nil, fmt.Errorf("set up socket %s: %w", path, err)
	}
	return &Listener{l: l, path: path}, nil
}

// Accept waits for the next connection.
func (l *Listener) Accept() (*Conn, error) {
	c, err := l.l.AcceptUnix()
	if err != nil {
		return nil, fmt.Errorf("accept on %s: %w", l.path, err)
	}
	return NewConn(c)
}

// Close ends Accept and removes the path.
func (l *Listener) Close() error {
	return errors.Join(os.Remove(l.path), l.l.Close())
}
