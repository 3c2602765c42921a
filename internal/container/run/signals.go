package run

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// forwarded are the signals that the program gets when we do.
var forwarded = []os.Signal{
	syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT,
	syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
}

// signals collects the signals that are sent to this process. Those that were ignored when it started
// (nohup) stay so, for the program too.
type signals struct {
	ch     chan os.Signal
	caught atomic.Int32 // the signal that ended us before there was a program
}

func catchSignals() *signals {
	s := &signals{ch: make(chan os.Signal, 32)}
	for _, sig := range forwarded {
		if !signal.Ignored(sig) {
			signal.Notify(s.ch, sig)
		}
	}
	return s
}

func (s *signals) stop() { signal.Stop(s.ch) }

// context is one that ends when a signal arrives that would end the program.
func (s *signals) context(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case sig := <-s.ch:
				if sig != syscall.SIGWINCH {
					s.caught.Store(int32(sig.(syscall.Signal)))
					cancel()
				}
			}
		}
	}()
	return ctx, func() { cancel(); <-done }
}

// statusOr is the exit status of a process that a signal ended before the program started, or else status.
func (s *signals) statusOr(status int) int {
	if sig := s.caught.Load(); sig != 0 {
		return exitSignal + int(sig)
	}
	return status
}
