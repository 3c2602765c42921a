package router

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/fdconn"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// namespaceOf tells which network namespace the peer (its main thread) is in. What is read from /proc by number counts only
// because the process is still there afterwards.
func namespaceOf(p *fdconn.Peer) (vnet.NamespaceID, error) {
	var st unix.Stat_t
	path := fmt.Sprintf("/proc/%d/ns/net", p.PID)
	if err := unix.Stat(path, &st); err != nil {
		return vnet.NamespaceID{}, fmt.Errorf("stat %s: %w", path, err)
	}
	if err := p.Alive(); err != nil {
		return vnet.NamespaceID{}, err
	}
	return vnet.NamespaceID{Dev: st.Dev, Ino: st.Ino}, nil
}

// memoryOf opens the peer's memory.
//
// The router may open anybody's, so it must not do for a program what the kernel would refuse it: the process that connected
// may have handed its connection to another and executed a privileged program since. The kernel gives /proc/PID to
// root as long as a process runs what its user may not inspect; so the directory's owner has to be who connected. A
// process that changes afterwards changes its memory too, and the file goes on to mean what it was opened for, which is then gone.
func memoryOf(p *fdconn.Peer) (*verbs.Process, error) {
	dir := fmt.Sprintf("/proc/%d", p.PID)
	file, err := os.OpenFile(dir+"/mem", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open memory: %w", err)
	}
	var st unix.Stat_t
	if err = unix.Stat(dir, &st); err == nil && (st.Uid != p.UID || st.Gid != p.GID) {
		err = syscall.EACCES
	}
	if err == nil {
		err = p.Alive()
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("memory of process %d: %w", p.PID, err)
	}
	return verbs.NewProcess(file, p.PID), nil
}
