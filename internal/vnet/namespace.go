package vnet

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// NamespaceID is the kernel's identity of a network namespace. It is unique among the namespaces that
// exist at one time; hold the Namespace open for as long as the identity must not be given to another.
type NamespaceID struct {
	Dev uint64
	Ino uint64
}

// String is the form the kernel itself prints in /proc/PID/ns/net.
func (id NamespaceID) String() string { return fmt.Sprintf("net:[%d]", id.Ino) }

// Namespace is an open reference to a network namespace. The namespace lives at least as long as the
// reference, and no longer: FreeFlow never gives one a name in the file system.
type Namespace struct {
	file *os.File
	id   NamespaceID
}

// NamespaceOfProcess opens the network namespace that the process pid (its main thread) is in.
func NamespaceOfProcess(pid int) (*Namespace, error) {
	return openNamespace(fmt.Sprintf("/proc/%d/ns/net", pid))
}

// NamespaceOfThread opens the network namespace of the calling thread. The caller has locked the thread
// if it ever changes namespaces.
func NamespaceOfThread() (*Namespace, error) {
	return openNamespace("/proc/thread-self/ns/net")
}

func openNamespace(path string) (*Namespace, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		file.Close()
		return nil, fmt.Errorf("identify network namespace %s: %w", path, err)
	}
	return &Namespace{file: file, id: NamespaceID{Dev: st.Dev, Ino: st.Ino}}, nil
}

// NewNamespace makes a network namespace that has no name and no process: it ends with Close, unless a
// process has entered it. New namespaces have nothing but a loopback that is down.
func NewNamespace() (*Namespace, error) {
	var made *Namespace
	err := onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make network namespace: %w", err)
		}
		var err error
		made, err = NamespaceOfThread()
		return err
	})
	return made, err
}

// ID is the namespace's identity.
func (n *Namespace) ID() NamespaceID { return n.id }

// FD is the open descriptor, valid until Close.
func (n *Namespace) FD() int { return int(n.file.Fd()) }

// Close gives the reference up.
func (n *Namespace) Close() error { return n.file.Close() }

// Do runs fn on a thread inside the namespace. Sockets that fn opens stay in the namespace; goroutines
// that fn starts do not run in it.
func (n *Namespace) Do(fn func() error) error {
	return onOwnThread(func() error {
		if err := unix.Setns(n.FD(), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", n.id, err)
		}
		return fn()
	})
}

// onOwnThread runs fn on a thread that nothing else uses and that ends afterwards: the runtime ends the
// thread of a goroutine that exits while locked, so no other goroutine can ever meet its namespace.
func onOwnThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		done <- fn()
	}()
	return <-done
}
