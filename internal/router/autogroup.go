package router

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// leadAutogroup gives the router's session the weight that its workers' priority is meant to have.
//
// Where the kernel groups processes by session (sched(7), "The autogroup feature"), a thread's nice value counts among its session's
// only, and all sessions get the same share of a core. A worker that needs more of its core than a program that spins there would
// then wait for that program's ticks: milliseconds instead of microseconds. A session of which the router is but a part, an
// operator's shell say, is left as it is.
func leadAutogroup(log *slog.Logger) {
	if sid, err := unix.Getsid(0); err != nil || sid != os.Getpid() {
		return
	}
	err := os.WriteFile("/proc/self/autogroup", []byte("-20"), 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("the router's session cannot go before others; latency will suffer", "error", err)
	}
}
