package vnet

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// killTime bounds how long Kill waits for processes to end; one that hangs in the kernel ends later.
const killTime = 2 * time.Second

// Kill ends every process that is in the namespace, except the process spared, and waits until they are
// gone. Processes that went on into another namespace are not found.
func (n *Namespace) Kill(spared int) error {
	deadline := time.Now().Add(killTime)
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		found, err := n.signalAll(spared, unix.SIGKILL)
		if err != nil || found == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes in %s do not end", found, n.id)
		}
		time.Sleep(wait)
	}
}

func (n *Namespace) signalAll(spared int, signal unix.Signal) (int, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	found := 0
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == spared {
			continue
		}
		if n.signal(pid, signal) {
			found++
		}
	}
	return found, nil
}

// signal sends to the process if it is in the namespace. It looks twice: the second time with a hold on
// the process, whose number then cannot be another's.
func (n *Namespace) signal(pid int, signal unix.Signal) bool {
	if !n.has(pid) {
		return false
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if !n.has(pid) {
		return false
	}
	err = unix.PidfdSendSignal(fd, signal, nil, 0)
	return !errors.Is(err, unix.ESRCH)
}

// has says whether the process is in the namespace. A zombie is in none.
func (n *Namespace) has(pid int) bool {
	var st unix.Stat_t
	err := unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &st)
	return err == nil && NamespaceID{Dev: st.Dev, Ino: st.Ino} == n.id
}
