package udp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

const anyPort = "127.0.0.1:0"

// random makes a packet of the given size, queues it in one of several ways and gives its bytes.
func random(tb testing.TB, b *Batch, dst *Dest, r *rand.Rand, far *mem.Span) []byte {
	tb.Helper()
	s := Shape{Header: r.IntN(HeaderRoom) + 1, Payload: []int{0, r.IntN(MaxPayload), 1024, MaxPayload}[r.IntN(4)], Trailer: r.IntN(TrailerRoom), Copy: r.IntN(4) == 0}
	if r.IntN(3) > 0 { // most packets of a message are alike
		s.Header, s.Payload, s.Trailer = 68, 1024, 4
	}
	memory := make([]byte, s.Payload)
	for i := range memory {
		memory[i] = byte(r.Uint32())
	}
	spans := pieces(memory, r)
	if r.IntN(8) == 0 {
		far.N = s.Payload
		spans = []mem.Span{*far}
	}
	p, err := b.Queue(dst, s, spans)
	must(tb, err)
	for _, part := range [][]byte{p.Header, p.Trailer} {
		for i := range part {
			part[i] = byte(r.Uint32())
		}
	}
	whole := append(bytes.Clone(p.Header), bytes.Join(p.Payload, nil)...)
	return append(whole, p.Trailer...)
}

// pieces cuts memory into spans.
func pieces(memory []byte, r *rand.Rand) (spans []mem.Span) {
	for range r.IntN(maxGather + 2) {
		n := r.IntN(len(memory) + 1)
		spans = append(spans, mem.Mapped(memory[:n]))
		memory = memory[n:]
	}
	return append(spans, mem.Mapped(memory))
}

// collect receives n packets; what they were is given also when some do not come.
func collect(tb testing.TB, s *Socket, n int) (packets [][]byte, last Arrival) {
	tb.Helper()
	for len(packets) < n && wait(s) {
		for more := true; more; {
			_, more = s.Receiver.Poll()
			for s.Receiver.Next(&last) {
				packets = append(packets, bytes.Clone(last.Bytes))
			}
		}
	}
	return packets, last
}

// Property: what is queued arrives unchanged and in order, whatever the sizes and the way the kernel is used.
func TestWhatIsQueuedArrives(t *testing.T) {
	hosts := newTwo(t)
	for name, c := range map[string]Config{
		"all features":    {},
		"no GRO":          {NoGRO: true},
		"no segmentation": {Segments: 1},
		"neither":         {Segments: 1, NoGRO: true},
		"small batches":   {Packets: 7},
	} {
		for _, where := range [][2]string{{"192.0.2.1", "192.0.2.2"}, {"2001:db8::1", "2001:db8::2"}} {
			t.Run(name+"/"+where[0], func(t *testing.T) {
				c.Addr = netip.AddrPortFrom(netip.MustParseAddr(where[0]), 6081)
				from := openIn(t, hosts.a, c)
				c.Addr = netip.AddrPortFrom(netip.MustParseAddr(where[1]), 6081)
				to := openIn(t, hosts.b, c)
				exchange(t, from, to)
			})
		}
	}
}

func exchange(t *testing.T, from, to *Port) {
	pin(0) // a thread that moves to another core within Flush would have packets overtake each other
	r := rand.New(rand.NewPCG(3, 4))
	farMemory := bytes.Repeat([]byte("far away"), MaxPayload/8)
	far := elsewhere(t, farMemory)
	dst, b := dest(t, to.Addr()), from.Socket(0).Batch
	for range 20 {
		var want [][]byte
		for range 1 + r.IntN(100) {
			want = append(want, random(t, b, dst, r, &far))
		}
		b.Flush()
		got, last := collect(t, to.Socket(0), len(want))
		if i := different(got, want); i >= 0 {
			t.Fatalf("%d packets arrived of %d, and the first difference is in packet %d: %v", len(got), len(want), i, counted(from, to))
		}
		if last.Src != from.Addr() {
			t.Fatalf("from %s, not %s", last.Src, from.Addr())
		}
	}
	runtime.KeepAlive(farMemory)
	if got, want := to.Counters(), from.Counters(); got.ReceivedPackets.Load() != want.SentPackets.Load() || got.ReceivedBytes.Load() != want.SentBytes.Load() {
		t.Errorf("counts differ: %v", counted(from, to))
	}
}

// different gives the first packet in which got is not want; -1 if there is none.
func different(got, want [][]byte) int {
	for i := range want {
		if i >= len(got) || !bytes.Equal(got[i], want[i]) {
			return i
		}
	}
	return -1
}

// counted lists the counters that are not zero.
func counted(ports ...*Port) (all []string) {
	for i, p := range ports {
		p.Counters().Each(func(name string, v uint64) {
			if v > 0 {
				all = append(all, fmt.Sprintf("%d: %s %d", i, name, v))
			}
		})
	}
	return all
}

// letters queues n packets of size bytes and sends them.
func letters(tb testing.TB, b *Batch, dst *Dest, n, size int) {
	tb.Helper()
	payload := min(size, MaxPayload)
	for range n {
		queue(tb, b, dst, Shape{Header: min(size-payload, HeaderRoom), Payload: payload}, mem.Mapped(make([]byte, payload)))
	}
	b.Flush()
}

func TestRunsArriveWhole(t *testing.T) {
	from, to, _, dst := ports(t, Config{})
	if f := to.Features(); f.Segments < oldSegments || !f.GRO {
		t.Skipf("this kernel lacks UDP_SEGMENT or UDP_GRO: %+v", f)
	}
	letters(t, from.Socket(0).Batch, dst, 15, 4164)
	if !wait(to.Socket(0)) {
		t.Fatal("nothing arrived")
	}
	messages, _ := to.Socket(0).Receiver.Poll()
	var a Arrival
	for i := 0; to.Socket(0).Receiver.Next(&a); i++ {
		if a.Index != i || len(a.Bytes) != 4164 {
			t.Errorf("packet %d has index %d and %d bytes", i, a.Index, len(a.Bytes))
		}
	}
	if messages != 1 || a.Index != 14 {
		t.Errorf("%d messages, the last packet has index %d", messages, a.Index)
	}
}

func TestLongRuns(t *testing.T) {
	from, to, _, dst := ports(t, Config{})
	letters(t, from.Socket(0).Batch, dst, 200, 60)
	if got, _ := collect(t, to.Socket(0), 200); len(got) != 200 {
		t.Errorf("%d of 200 arrived", len(got))
	}
	limit := from.Features().Segments
	if want := (200 + limit - 1) / limit; int(from.Counters().SentMessages.Load()) != want {
		t.Errorf("%v, want %d messages of %d packets", counted(from), want, limit)
	}
	if n := from.Counters().SegmentFallbacks.Load(); n > 0 {
		t.Errorf("%d runs of %d were refused though the probe found that they work", n, limit)
	}
}

func TestPacketsBeyondTheMTUAreDropped(t *testing.T) {
	hosts := newTwo(t)
	h := handle(t, hosts.a)
	link, err := h.LinkByName("eth0")
	must(t, err)
	must(t, h.LinkSetMTU(link, 1500))
	from := openIn(t, hosts.a, Config{Addr: netip.MustParseAddrPort("192.0.2.1:6081")})
	to := openIn(t, hosts.b, Config{Addr: netip.MustParseAddrPort("192.0.2.2:6081")})
	dst, b := dest(t, to.Addr()), from.Socket(0).Batch
	letters(t, b, dst, 5, 1473) // + IPv4 20 + UDP 8 = 1501
	letters(t, b, dst, 5, 1472)
	if got, _ := collect(t, to.Socket(0), 5); len(got) != 5 {
		t.Errorf("%d of the 5 that fit arrived", len(got))
	}
	c := from.Counters()
	if c.DroppedTooBig.Load() != 5 || c.SegmentFallbacks.Load() != 1 || from.Features().Segments < oldSegments {
		t.Errorf("%v, %+v", counted(from), from.Features())
	}
}

func TestNoRoute(t *testing.T) {
	from, _, _, _ := ports(t, Config{})
	letters(t, from.Socket(0).Batch, dest(t, netip.MustParseAddrPort("198.51.100.1:1")), 3, 10)
	if n := from.Counters().DroppedUnreachable.Load(); n != 3 {
		t.Errorf("%v", counted(from))
	}
}

func TestFullReceiverCountsWhatItLoses(t *testing.T) {
	hosts := newTwo(t)
	from := openIn(t, hosts.a, Config{Addr: netip.MustParseAddrPort("192.0.2.1:6081"), Segments: 1})
	to := openIn(t, hosts.b, Config{Addr: netip.MustParseAddrPort("192.0.2.2:6081"), Buffer: 1 << 14, NoGRO: true})
	settle(t, from, to) // what waits for a neighbour's address is lost where nobody counts it
	dst, b := dest(t, to.Addr()), from.Socket(0).Batch
	letters(t, b, dst, 100, 1000)
	sent, got, lost := 100, 0, 0
	for range 100 { // the kernel tells of losses with the next packet
		packets, _ := collect(t, to.Socket(0), 1)
		got, lost = got+len(packets), int(to.Counters().ReceiveOverflowed.Load())
		if got+lost == sent {
			break
		}
		letters(t, b, dst, 1, 1000)
		sent++
	}
	if lost == 0 || got+lost != sent {
		t.Errorf("of %d, %d arrived and %d are counted as lost", sent, got, lost)
	}
}

func TestCongestionMarks(t *testing.T) {
	for _, addr := range []string{anyPort, "[::1]:0"} {
		p := openIn(t, namespaceUp(t), Config{Addr: netip.MustParseAddrPort(addr), TOS: 0x68 | CE})
		letters(t, p.Socket(0).Batch, dest(t, p.Addr()), 3, 10)
		got, last := collect(t, p.Socket(0), 3)
		if len(got) != 3 || last.TOS != 0x68|CE || p.Counters().ReceivedCE.Load() != 3 {
			t.Errorf("%s: %d arrived, TOS %#x, %v", addr, len(got), last.TOS, counted(p))
		}
	}
}

// TestIdentification: plain RoCEv2's ICRC covers the IPv4 identification, so Packet.Segment must be what is on the wire.
func TestIdentification(t *testing.T) {
	hosts := newTwo(t)
	h := handle(t, hosts.a)
	link, err := h.LinkByName("eth0")
	must(t, err)
	must(t, h.LinkSetGSOMaxSegs(link, 1)) // the kernel cuts runs before they are on the link, as it does for real ones
	from := openIn(t, hosts.a, Config{Addr: netip.MustParseAddrPort("192.0.2.1:4791")})
	to := openIn(t, hosts.b, Config{Addr: netip.MustParseAddrPort("192.0.2.2:4791")})
	tap := tapIn(t, hosts)
	dst, b := dest(t, to.Addr()), from.Socket(0).Batch
	var want []uint16
	for _, size := range []int{100, 100, 100, 50, 200, 200, 70, 300} {
		queue(t, b, dst, Shape{Payload: size}, mem.Mapped(make([]byte, size)))
		want = append(want, b.packet.Segment)
	}
	b.Flush()
	if fmt.Sprint(want) != "[0 1 2 3 0 1 2 0]" {
		t.Errorf("segments %v", want)
	}
	for i, id := range want {
		if got, flags := identification(t, tap); got != id || flags != 0x4000 {
			t.Errorf("packet %d has identification %d, flags %#x; want %d, don't fragment", i, got, flags, id)
		}
	}
	if got, _ := collect(t, to.Socket(0), len(want)); len(got) != len(want) {
		t.Errorf("%d of %d arrived", len(got), len(want))
	}
}

// tapIn opens a packet socket that sees the IPv4 packets that arrive in host b.
func tapIn(t *testing.T, hosts *two) int {
	ipv4 := binary.NativeEndian.Uint16([]byte{unix.ETH_P_IP >> 8, unix.ETH_P_IP & 0xff})
	fd := -1
	must(t, hosts.b.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(ipv4))
		return err
	}))
	t.Cleanup(func() { _ = unix.Close(fd) })
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}))
	return fd
}

// identification reads that of the next UDP packet, and its flags and fragment offset.
func identification(t *testing.T, fd int) (id, flags uint16) {
	b := make([]byte, 2048)
	for b[9] != unix.IPPROTO_UDP { // the kernel itself sends IGMP
		n, err := unix.Read(fd, b)
		if err != nil || n < 20 {
			t.Fatalf("no packet on the wire: %d bytes, %v", n, err)
		}
	}
	return binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])
}

func TestSteering(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("steering needs two cores")
	}
	ns := namespaceUp(t)
	for name, c := range map[string]struct {
		cpus []int
		none bool
		want []int // socket of what is sent on core 0, on core 1; -1: any
	}{
		"in order":            {cpus: []int{0, 1}, want: []int{0, 1}},
		"reversed":            {cpus: []int{1, 0}, want: []int{1, 0}},
		"with others":         {cpus: []int{900, 1, 0}, want: []int{2, 1}},
		"a core without":      {cpus: []int{-1, 1}, want: []int{-1, 1}},
		"one":                 {cpus: []int{1}, want: []int{0, 0}},
		"without a filter":    {cpus: []int{0, 1}, none: true, want: []int{0, 1}},
		"reversed, no filter": {cpus: []int{1, 0}, none: true, want: []int{1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			p := openIn(t, ns, Config{Addr: netip.MustParseAddrPort(anyPort), CPUs: c.cpus, NoSteering: c.none})
			from := openIn(t, ns, Config{Addr: netip.MustParseAddrPort(anyPort)})
			if how := p.Features().Steering; how == SteerHash {
				t.Skip("this kernel steers by hash")
			}
			for cpu, want := range c.want {
				onCore(cpu, func() { letters(t, from.Socket(0).Batch, dest(t, p.Addr()), 3, 10) })
				if got := arrivedAt(p); want >= 0 && got != want || got < 0 {
					t.Errorf("packets of core %d arrived at socket %d, want %d (%s)", cpu, got, want, p.Features().Steering)
				}
			}
		})
	}
}

// onCore runs f on a core, on a thread that ends with it.
func onCore(cpu int, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		pin(cpu)
		f()
	}()
	<-done
}

// arrivedAt says which socket three packets are at; -1 if they are not at one.
func arrivedAt(p *Port) int {
	fds := []unix.PollFd{}
	for i := range p.Sockets() {
		fds = append(fds, unix.PollFd{Fd: int32(p.Socket(i).FD()), Events: unix.POLLIN})
	}
	_, _ = unix.Poll(fds, 5000)
	where := -1
	var a Arrival
	for i := range p.Sockets() {
		p.Socket(i).Receiver.Poll()
		n := 0
		for p.Socket(i).Receiver.Next(&a) {
			n++
		}
		if n == 3 {
			where = i
		}
	}
	return where
}

// TestHints: a packet that says which socket it is for arrives there, whatever core it is sent on; what it says wrong, or not at all, changes nothing.
func TestHints(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("steering needs two cores")
	}
	ns := namespaceUp(t)
	const anySocket = -1
	for name, c := range map[string]struct {
		packet []byte
		want   [2]int // of what is sent on core 0, on core 1
	}{
		"the first":      {[]byte{9, 0xaa, 0xbb, 0xcc, 0xdd, 1}, [2]int{0, 0}},
		"the second":     {[]byte{9, 0xaa, 0xbb, 0xcc, 0xdd, 2}, [2]int{1, 1}},
		"none":           {[]byte{9, 0xaa, 0xbb, 0xcc, 0xdd, 0}, [2]int{0, 1}},
		"there is none":  {[]byte{9, 0xaa, 0xbb, 0xcc, 0xdd, 3}, [2]int{0, 1}},
		"the next":       {[]byte{9, 0xaa, 0xbb, 0xcc, 0xdd, HintPast + 1}, [2]int{1, 0}},
		"the next again": {[]byte{9, 0xaa, 0xbb, 0xcc, 0xdd, HintPast + 3}, [2]int{1, 0}},
		"round":          {[]byte{9, 0xaa, 0xbb, 0xcc, 0xdd, HintPast + 2}, [2]int{0, 1}},
		"another word":   {[]byte{9, 0xaa, 0xbb, 0xcc, 0xde, 2}, [2]int{0, 1}},
		"short":          {[]byte{9, 0xaa}, [2]int{anySocket, anySocket}},
	} {
		t.Run(name, func(t *testing.T) {
			p := openIn(t, ns, Config{Addr: netip.MustParseAddrPort(anyPort), CPUs: []int{0, 1}, Hint: Hint{At: 1, Word: 0xaabbccdd, To: 5}})
			if how := p.Features().Steering; how != SteerProgram {
				t.Skipf("this kernel steers by %s", how)
			}
			from := openIn(t, ns, Config{Addr: netip.MustParseAddrPort(anyPort)}).Socket(0).Batch
			to := dest(t, p.Addr())
			for cpu, want := range c.want {
				onCore(cpu, func() {
					for range 3 {
						queue(t, from, to, Shape{Payload: len(c.packet)}, mem.Mapped(c.packet))
					}
					from.Flush()
				})
				if got := arrivedAt(p); got != want && want != anySocket || got < 0 {
					t.Errorf("packets of core %d arrived at socket %d, want %d", cpu, got, want)
				}
			}
		})
	}
}

func TestSteeringProgram(t *testing.T) {
	for _, c := range []struct {
		hint Hint
		want string
	}{
		{Hint{}, "0x1 0 0 0\n" + // ldx #0
			"0x20 0 0 4294963236\n" + // ld cpu
			"0x15 0 2 4\n0x0 0 0 0\n0x5 0 0 3\n" + // core 4: socket 0
			"0x15 0 2 70000\n0x0 0 0 2\n0x5 0 0 0\n" + // core 70000: socket 2
			"0xc 0 0 0\n0x94 0 0 3\n0x16 0 0 0\n"}, // add x, modulo 3, ret
		{Hint{At: 8, Word: 0xfff00201, To: 12}, "0x1 0 0 0\n" +
			"0x20 0 0 8\n0x15 0 8 4293919233\n" + // is there a hint?
			"0x30 0 0 12\n0x45 4 0 128\n" + // to, or past?
			"0x15 5 0 0\n0x14 0 0 1\n0x35 3 0 3\n0x16 0 0 0\n" + // to
			"0x54 0 0 127\n0x7 0 0 0\n" + // past
			"0x20 0 0 4294963236\n" +
			"0x15 0 2 4\n0x0 0 0 0\n0x5 0 0 3\n" +
			"0x15 0 2 70000\n0x0 0 0 2\n0x5 0 0 0\n" +
			"0xc 0 0 0\n0x94 0 0 3\n0x16 0 0 0\n"},
	} {
		var got strings.Builder
		for _, in := range steeringProgram([]int{4, -1, 70000}, c.hint) {
			fmt.Fprintf(&got, "%#x %d %d %d\n", in.Code, in.Jt, in.Jf, in.K)
		}
		if got.String() != c.want {
			t.Errorf("%+v: program\n%swant\n%s", c.hint, got.String(), c.want)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	ns := namespaceUp(t)
	taken := openIn(t, ns, Config{Addr: netip.MustParseAddrPort(anyPort)})
	for name, c := range map[string]Config{
		"no address":   {CPUs: []int{0}},
		"no workers":   {Addr: netip.MustParseAddrPort(anyPort)},
		"taken":        {Addr: taken.Addr(), CPUs: []int{0}},
		"not ours":     {Addr: netip.MustParseAddrPort("192.0.2.77:1"), CPUs: []int{0, 1}},
		"no such zone": {Addr: netip.MustParseAddrPort("[fe80::1%nosuch0]:1"), CPUs: []int{0}},
	} {
		must(t, ns.Do(func() error {
			if p, err := Open(c); err == nil {
				p.Close()
				t.Errorf("%s: opened", name)
			}
			return nil
		}))
	}
}

func TestBuffers(t *testing.T) {
	p := openIn(t, namespaceUp(t), Config{Addr: netip.MustParseAddrPort(anyPort)})
	if f := p.Features(); f.ReceiveBuffer != defaultBuffer || f.SendBuffer != defaultBuffer {
		t.Errorf("%+v, though root may have what it asks for", f)
	}
}

// namespaceUp is a namespace with a loopback.
func namespaceUp(tb testing.TB) *vnet.Namespace {
	tb.Helper()
	ns := namespace(tb)
	must(tb, ns.Do(func() error { return up("lo") }))
	return ns
}
