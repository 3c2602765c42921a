package guest

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// A child that is to die with its parent dies with the thread that started it. So one thread, which never ends, starts them all.
var spawner = sync.OnceValue(func() chan<- func() {
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		for job := range jobs {
			job()
		}
	}()
	return jobs
})

// spawn starts a command that the kernel kills when this process ends, in the namespace.
func spawn(cmd *exec.Cmd, ns *vnet.Namespace) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
	result := make(chan error, 1)
	spawner() <- func() { result <- startIn(cmd, ns) }
	return <-result
}

func startIn(cmd *exec.Cmd, ns *vnet.Namespace) error {
	own, err := vnet.NamespaceOfThread()
	if err != nil {
		return err
	}
	defer own.Close()
	if err := unix.Setns(ns.FD(), unix.CLONE_NEWNET); err != nil {
		return err
	}
	defer func() {
		if err := unix.Setns(own.FD(), unix.CLONE_NEWNET); err != nil {
			panic(err) // the thread is of no more use
		}
	}()
	return cmd.Start()
}
