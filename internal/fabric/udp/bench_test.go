package udp

import (
	"net/netip"
	"runtime"
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

// pin binds the calling goroutine to a core, and to a thread that ends with it.
func pin(cpu int) {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(cpu)
	_ = unix.SchedSetaffinity(0, &set)
}

// cpuTime is what the calling thread has used, in ns: it tells the truth on a busy machine too.
func cpuTime() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return ts.Nano()
}

// window is how many bytes of payload are on the way, as a transport would have it.
const window = 1 << 20

// BenchmarkThroughput sends from core 0 to core 1. Besides the rate it tells how long each core worked a packet.
func BenchmarkThroughput(b *testing.B) {
	for _, c := range []struct {
		name    string
		payload int
		config  Config
	}{
		{name: "4096", payload: 4096},
		{name: "1024", payload: 1024},
		{name: "4096/batch-64", payload: 4096, config: Config{Packets: 64}},
		{name: "4096/one-by-one", payload: 4096, config: Config{Segments: 1, NoGRO: true}},
		{name: "4096/no-gro", payload: 4096, config: Config{NoGRO: true}},
	} {
		b.Run(c.name, func(b *testing.B) { throughput(b, c.config, c.payload) })
	}
}

// stream is one run of the benchmark: packets of 68 bytes header, payload from 1 MiB of registered memory and 4 bytes trailer.
type stream struct {
	payload, packets int
	dst              *Dest
	seen             atomic.Int64
	stop             atomic.Bool
	sendNS, recvNS   int64
}

func throughput(b *testing.B, c Config, payload int) {
	from, to, _, dst := ports(b, c)
	s := &stream{payload: payload, packets: b.N, dst: dst}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.receive(to.Socket(0))
	}()
	b.SetBytes(int64(payload))
	b.ResetTimer()
	onCore(0, func() { s.send(from.Socket(0).Batch) })
	b.StopTimer()
	s.stop.Store(true)
	<-done
	got := to.Counters()
	b.ReportMetric(float64(b.N*payload*8)/float64(b.Elapsed().Nanoseconds()), "Gbit/s")
	b.ReportMetric(float64(s.sendNS)/float64(b.N), "send-ns/packet")
	b.ReportMetric(float64(s.recvNS)/float64(b.N), "receive-ns/packet")
	b.ReportMetric(float64(got.ReceivedPackets.Load())/float64(got.ReceivedMessages.Load()), "packets/message")
	b.ReportMetric(float64(b.N)-float64(s.seen.Load()), "lost")
}

func (s *stream) send(batch *Batch) {
	memory := make([]byte, window)
	spans := make([]mem.Span, 1)
	for i := 0; i < s.packets; {
		began := cpuTime()
		for n := batch.Room(); n > 0 && i < s.packets; n-- {
			spans[0] = mem.Mapped(memory[i*s.payload%(len(memory)-s.payload):][:s.payload])
			_, _ = batch.Queue(s.dst, Shape{Header: 68, Payload: s.payload, Trailer: 4}, spans)
			i++
		}
		batch.Flush()
		s.sendNS += cpuTime() - began
		s.wait(int64(i - window/s.payload))
	}
	s.wait(int64(s.packets))
}

// wait sleeps until n packets have arrived, or until it is clear that some are lost.
func (s *stream) wait(n int64) {
	last, since := s.seen.Load(), time.Now()
	for last < n && time.Since(since) < 200*time.Millisecond {
		_ = unix.Nanosleep(&unix.Timespec{Nsec: 10_000}, nil)
		if now := s.seen.Load(); now != last {
			last, since = now, time.Now()
		}
	}
}

func (s *stream) receive(socket *Socket) {
	pin(1)
	var a Arrival
	fds := []unix.PollFd{{Fd: int32(socket.FD()), Events: unix.POLLIN}}
	for !s.stop.Load() {
		began := cpuTime()
		if n, _ := socket.Receiver.Poll(); n == 0 {
			_, _ = unix.Poll(fds, 10)
			continue
		}
		packets := 0
		for socket.Receiver.Next(&a) {
			packets++
		}
		s.recvNS += cpuTime() - began
		s.seen.Add(int64(packets))
	}
}

// BenchmarkQueue is what a packet costs before any system call.
func BenchmarkQueue(b *testing.B) {
	batch, _, _ := newSink(256)
	spans := []mem.Span{mem.Mapped(make([]byte, 4096))}
	dst := &Dest{}
	for range b.N {
		if batch.Room() == 0 {
			batch.reset()
		}
		_, _ = batch.Queue(dst, Shape{Header: 68, Payload: 4096, Trailer: 4}, spans)
	}
}

// BenchmarkPingPong has two threads answer each other: both on the core that the packets arrive on, then on two cores.
func BenchmarkPingPong(b *testing.B) {
	b.Run("core-of-arrival", func(b *testing.B) { pingPong(b, 0) })
	b.Run("other-core", func(b *testing.B) { pingPong(b, 1) })
}

func pingPong(b *testing.B, cpu int) {
	left, right, toLeft, toRight := ports(b, Config{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		pin(cpu)
		bounce(right.Socket(0), toLeft, b.N)
	}()
	b.ResetTimer()
	onCore(0, func() {
		answer(left.Socket(0), toRight)
		bounce(left.Socket(0), toRight, b.N)
	})
	b.StopTimer()
	<-done
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "us/round")
}

// bounce answers n packets, asleep between them.
func bounce(s *Socket, to *Dest, n int) {
	var a Arrival
	for n > 0 && wait(s) {
		s.Receiver.Poll()
		for s.Receiver.Next(&a) {
			answer(s, to)
			n--
		}
	}
}

func answer(s *Socket, to *Dest) {
	_, _ = s.Batch.Queue(to, Shape{Header: 68, Trailer: 4}, nil)
	s.Batch.Flush()
}
