package fabric

import (
	"bytes"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// mads takes a host's management datagrams.
type mads struct {
	t    *testing.T
	come chan MAD
}

func takeMADs(t *testing.T, h *testHost) *mads {
	m := &mads{t: t, come: make(chan MAD, 16)}
	h.carrier.SetMADHandler(func(x *MAD) {
		c := *x
		c.Bytes = bytes.Clone(x.Bytes)
		m.come <- c
	})
	return m
}

// want waits for one and fails unless it is this.
func (m *mads) want(x MAD) {
	m.t.Helper()
	select {
	case got := <-m.come:
		if got.Container != x.Container || got.Src != x.Src || got.Dst != x.Dst || got.TClass != x.TClass || !bytes.Equal(got.Bytes, x.Bytes) {
			m.t.Fatalf("got\n%+v\nwant\n%+v", got, x)
		}
	case <-time.After(10 * time.Second):
		m.t.Fatal("no management datagram came")
	}
}

// mad is a management datagram that can be told from others by n.
func mad(n byte) []byte {
	b := make([]byte, wire.MADSize)
	wire.MAD(b).Put(&wire.MADFields{Class: wire.ClassCM, ClassVersion: wire.ClassVersionCM, Method: wire.MethodSend, TID: uint64(n)})
	for i := range b[wire.MADHeaderSize:] {
		b[wire.MADHeaderSize+i] = n + byte(i)
	}
	return b
}

// TestMADsBetweenHosts: both ways, through Geneve.
func TestMADsBetweenHosts(t *testing.T) {
	hs := hosts(t, 2)
	for i, from := range hs {
		to := hs[1-i]
		in := takeMADs(t, to)
		for n := range byte(3) {
			sent := mad(n)
			from.carrier.SendMAD(from.prog.Cont, 0, to.gid, 0x28, sent)
			in.want(MAD{Container: to.prog.Cont, Src: from.gid, Dst: to.gid, TClass: 0x28, Bytes: mad(n)})
		}
	}
}

// TestPlainMADs: between hosts that take each other for no routers. The traffic class is the socket's.
func TestPlainMADs(t *testing.T) {
	hs := plainHosts(t)
	for i, from := range hs {
		to := hs[1-i]
		in := takeMADs(t, to)
		from.carrier.SendMAD(from.prog.Cont, 1, verbs.GIDOf(to.addr), 0, mad(7))
		in.want(MAD{Src: verbs.GIDOf(from.addr), Dst: verbs.GIDOf(to.addr), Bytes: mad(7)})
	}
}

// TestMADsHere: to a container of the same host and network, to the sender itself and to the host's own address, with no packet and not from within SendMAD.
func TestMADsHere(t *testing.T) {
	h := plainHosts(t)[0]
	second := &verbs.Container{ID: "second", Name: "second", Network: testNetwork, VNI: testVNI, GIDs: []verbs.GID{verbs.GIDOf(netip.MustParseAddr("10.77.0.9"))}}
	if err := h.Dev.AddContainer(second); err != nil {
		t.Fatal(err)
	}
	var held sync.Mutex
	in := &mads{t: t, come: make(chan MAD, 16)}
	h.carrier.SetMADHandler(func(m *MAD) {
		held.Lock()
		defer held.Unlock()
		c := *m
		c.Bytes = bytes.Clone(m.Bytes)
		in.come <- c
	})
	first, host := h.prog.Cont, verbs.GIDOf(h.addr)
	for i, x := range []MAD{
		{Container: second, Src: h.gid, Dst: second.GIDs[0], TClass: 3},
		{Container: first, Src: h.gid, Dst: h.gid},
		{Src: host, Dst: host},
	} {
		sgid := 0
		if x.Src == host {
			sgid = 1
		}
		x.Bytes = mad(byte(i))
		held.Lock()
		h.carrier.SendMAD(first, sgid, x.Dst, x.TClass, x.Bytes)
		held.Unlock()
		in.want(x)
	}
	for _, p := range h.carrier.Ports() {
		if n := p.Counters().SentPackets.Load(); n != 0 {
			t.Errorf("%d packets sent", n)
		}
	}
}

// TestMADsToNobody are counted: an address that is nobody's, another network's, of a host that has gone; from no address, of a wrong length.
func TestMADsToNobody(t *testing.T) {
	h := hosts(t, 2)[0]
	table := NewTable(4096)
	gone := verbs.GIDOf(netip.MustParseAddr("10.77.0.50"))
	table.Add(Network{VNI: testVNI, Name: testNetwork}, []verbs.GID{gone}, Peer{Addr: netip.MustParseAddr("127.0.77.50"), Gone: true})
	other := verbs.GIDOf(netip.MustParseAddr("10.77.0.51"))
	table.Add(Network{VNI: testVNI + 1, Name: "other"}, []verbs.GID{other}, Peer{Addr: netip.MustParseAddr("127.0.77.51")})
	h.carrier.SetTable(table)
	for _, dst := range []verbs.GID{gone, other, verbs.GIDOf(netip.MustParseAddr("10.77.0.52"))} {
		h.carrier.SendMAD(h.prog.Cont, 0, dst, 0, mad(1))
	}
	for _, wrong := range [][]byte{nil, mad(1)[:255], append(mad(1), 0)} {
		h.carrier.SendMAD(h.prog.Cont, 0, h.gid, 0, wrong)
	}
	h.carrier.SendMAD(h.prog.Cont, 1, h.gid, 0, mad(1))
	h.carrier.SendMAD(h.prog.Cont, -1, h.gid, 0, mad(1))
	in := takeMADs(t, h) // the queue is in order: when this one has come the others are done with
	h.carrier.SendMAD(h.prog.Cont, 0, h.gid, 0, mad(2))
	in.want(MAD{Container: h.prog.Cont, Src: h.gid, Dst: h.gid, Bytes: mad(2)})
	c := &h.carrier.Counters
	if a, b, s := c.MADsUnroutable.Load(), c.SendFaults.Load(), c.MADsSent.Load(); a != 3 || b != 5 || s != 1 {
		t.Errorf("%d unroutable, %d faults, %d sent; want 3, 5, 1", a, b, s)
	}
}

// TestFloodOfMADs: more than the queue holds are counted and dropped, and data goes on meanwhile.
func TestFloodOfMADs(t *testing.T) {
	c := connect(t, verbs.TypeRC, 4096, nil)
	h := c.a
	block := make(chan struct{})
	h.carrier.SetMADHandler(func(*MAD) { <-block }) // the first one holds up the worker of mode low
	const sent = 2 * madsQueued
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for range sent / 2 {
				h.carrier.SendMAD(h.prog.Cont, 0, h.gid, 0, mad(1))
			}
		})
	}
	for id := range uint64(32) {
		c.qb.Recv(vt.RR(id, c.dst.SGE(0, 4096)))
		c.qa.Send(vt.WR(100+id, verbs.OpSend, c.src.SGE(0, 4096)))
		want(t, c.b.cq.Poll(), id, verbs.WCSuccess)
		want(t, c.a.cq.Poll(), 100+id, verbs.WCSuccess)
	}
	all.Wait()
	close(block)
	cnt := &h.carrier.Counters
	unsent := cnt.MADsUnsent.Load()
	if unsent < sent-madsQueued-1 || unsent > sent-madsQueued {
		t.Errorf("%d of %d did not go: the queue takes %d", unsent, sent, madsQueued)
	}
	for until := time.Now().Add(10 * time.Second); cnt.MADsReceived.Load()+unsent != sent; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%d came and %d did not go, of %d", cnt.MADsReceived.Load(), unsent, sent)
		}
	}
}

// TestCaptureMADs: one that crosses a wire, by either way, and one that does not, look the same.
func TestCaptureMADs(t *testing.T) {
	const line = "UD SEND Only qp 0x000001 psn 0 from 0x000001 qkey 0x80010000 len 256 ackreq"
	hs, ps := hosts(t, 2), plainHosts(t)
	for _, x := range []struct {
		from, to *testHost
		sgid     int
		dst      verbs.GID
		want     string
	}{
		{hs[0], hs[1], 0, hs[1].gid, "10.77.0.1 > 10.77.0.2 " + line},
		{hs[1], hs[1], 0, hs[1].gid, "10.77.0.2 > 10.77.0.2 " + line},
		{ps[0], ps[1], 1, verbs.GIDOf(ps[1].addr), "127.0.79.1 > 127.0.79.2 " + line},
	} {
		ends := []*testHost{x.from}
		if x.to != x.from {
			ends = append(ends, x.to)
		}
		var lines []func() string
		for _, h := range ends {
			lines = append(lines, listen(t, h, "1"))
		}
		x.from.carrier.SendMAD(x.from.prog.Cont, x.sgid, x.dst, 0, mad(1))
		for i, l := range lines {
			if got := l(); strings.TrimSpace(got) != x.want {
				t.Errorf("host %d: %s, want %s", i, got, x.want)
			}
		}
	}
}
