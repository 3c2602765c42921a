package vnet

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	errExists = syscall.EEXIST
	errInUse  = syscall.EADDRINUSE
)

// addrGenModeNone is IN6_ADDR_GEN_MODE_NONE: the kernel makes no link-local address by itself.
const addrGenModeNone = 1

// retries bounds how often a change is tried that met a passing condition; the waits add up to about 2 s.
const retries = 9

// retry repeats fn while its error says that trying again can help: a lock that was held, a dump that a
// change interrupted, memory that was short for a moment.
func retry(fn func() error) error {
	wait := 4 * time.Millisecond
	for try := 0; ; try++ {
		err := fn()
		if err == nil || try == retries || !passes(err) {
			return err
		}
		time.Sleep(wait)
		wait *= 2
	}
}

func passes(err error) bool {
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		return true
	}
	for _, errno := range []syscall.Errno{unix.EBUSY, unix.EAGAIN, unix.EINTR, unix.ENOBUFS} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// isGone says that the link does not exist any more.
func isGone(err error) bool {
	var none netlink.LinkNotFoundError
	return errors.As(err, &none) || errors.Is(err, unix.ENODEV)
}

// explain adds to an error what the reader can do about it.
func explain(err error) error {
	switch {
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: run the router as root (CAP_NET_ADMIN and CAP_SYS_ADMIN)", err)
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w: the kernel has no such interfaces (modules bridge and veth)", err)
	case errors.Is(err, unix.EXFULL), errors.Is(err, unix.E2BIG):
		return fmt.Errorf("%w: a bridge has at most 1023 ports", err)
	}
	return err
}
