package udp

import (
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/mem"
)

// ports opens a port in each of two hosts and gives them with destinations towards each other.
func ports(tb testing.TB, c Config) (a, b *Port, toA, toB *Dest) {
	tb.Helper()
	t := newTwo(tb)
	c.Addr = netip.MustParseAddrPort("192.0.2.1:6081")
	a = openIn(tb, t.a, c)
	c.Addr = netip.MustParseAddrPort("192.0.2.2:6081")
	b = openIn(tb, t.b, c)
	return a, b, dest(tb, a.Addr()), dest(tb, b.Addr())
}

// pin binds the calling goroutine to a core.
func pin(cpu int) {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(cpu)
	_ = unix.SchedSetaffinity(0, &set)
}

func BenchmarkThroughput(b *testing.B) {
	for name, c := range map[string]struct {
		payload int
		config  Config
	}{
		"4096":         {payload: 4096},
		"1024":         {payload: 1024},
		"4096/plain":   {payload: 4096, config: Config{Segments: 1, NoGRO: true}},
		"4096/segment": {payload: 4096, config: Config{NoGRO: true}},
	} {
		b.Run(name, func(b *testing.B) { throughput(b, c.config, c.payload) })
	}
}

// window is how many bytes of payload are on the way, as a transport would have it.
var window = envInt("WIN", 1<<20)

func envInt(n string, d int) int {
	if v, err := strconv.Atoi(os.Getenv(n)); err == nil {
		return v
	}
	return d
}

// throughput sends packets of 68 bytes header, payload from 1 MiB of registered memory, 4 bytes trailer, from core 0 to core 1. What is
// measured ends when the last packet that arrives has arrived.
func throughput(b *testing.B, c Config, payload int) {
	c.Packets = envInt("PK", 0)
	from, to, _, dst := ports(b, c)
	var seen atomic.Int64
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		pin(1)
		receive(to.Socket(0), &seen, &stop)
	}()
	memory := make([]byte, 1<<20)
	b.SetBytes(int64(payload))
	b.ResetTimer()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		pin(0)
		batch := from.Socket(0).Batch
		spans := make([]mem.Span, 1)
		for i := range b.N {
			spans[0] = mem.Mapped(memory[i*payload%(len(memory)-payload):][:payload])
			if _, err := batch.Queue(dst, Shape{Header: 68, Payload: payload, Trailer: 4}, spans); err != nil {
				panic(err)
			}
			if batch.Room() == 0 || i == b.N-1 {
				batch.Flush()
				waitSeen(&seen, int64(i+1-window/payload))
			}
		}
	}()
	<-finished
	waitSeen(&seen, int64(b.N))
	b.StopTimer()
	stop.Store(true)
	<-done
	got := to.Counters()
	b.ReportMetric(float64(b.N*payload*8)/float64(b.Elapsed().Nanoseconds()), "Gbit/s")
	b.ReportMetric(float64(got.ReceivedPackets.Load())/float64(got.ReceivedMessages.Load()), "packets/message")
	b.ReportMetric(float64(b.N)-float64(seen.Load()), "lost")
}

// waitSeen waits until n packets have arrived, or until it is clear that some are lost.
func waitSeen(seen *atomic.Int64, n int64) {
	last, since := seen.Load(), time.Now()
	for last < n && time.Since(since) < 200*time.Millisecond {
		if now := seen.Load(); now != last {
			last, since = now, time.Now()
		}
	}
}

// receive spins: a goroutine that is locked to its thread pays two thread switches for a Gosched.
func receive(s *Socket, seen *atomic.Int64, stop *atomic.Bool) {
	var a Arrival
	for !stop.Load() {
		s.Receiver.Poll()
		packets := 0
		for s.Receiver.Next(&a) {
			packets++
		}
		seen.Add(int64(packets))
	}
}

// BenchmarkPingPong has two threads answer each other, both on core 0 (the core that the packets arrive on), then on two cores.
func BenchmarkPingPong(b *testing.B) {
	for name, cpu := range map[string]int{"same-core": 0, "other-core": 1} {
		b.Run(name, func(b *testing.B) { pingPong(b, cpu) })
	}
}

func pingPong(b *testing.B, cpu int) {
	left, right, toLeft, toRight := ports(b, Config{})
	bounce := func(s *Socket, to *Dest, n int) {
		var a Arrival
		fds := []unix.PollFd{{Fd: int32(s.FD()), Events: unix.POLLIN}}
		for n > 0 {
			_, _ = unix.Poll(fds, 1000)
			s.Receiver.Poll()
			for s.Receiver.Next(&a) {
				_, _ = s.Batch.Queue(to, Shape{Header: 68, Trailer: 4}, nil)
				s.Batch.Flush()
				n--
			}
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		pin(cpu)
		bounce(right.Socket(0), toLeft, b.N)
	}()
	b.ResetTimer()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		pin(0)
		_, _ = left.Socket(0).Batch.Queue(toRight, Shape{Header: 68, Trailer: 4}, nil)
		left.Socket(0).Batch.Flush()
		bounce(left.Socket(0), toRight, b.N)
	}()
	<-finished
	b.StopTimer()
	<-done
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "us/round")
}
