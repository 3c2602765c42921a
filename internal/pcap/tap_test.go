package pcap

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

func TestPacketIsKeptAsItIs(t *testing.T) {
	for _, p := range captured(t, "rc_write_multi_mtu4096") {
		var sum [4]byte
		wire.PutICRC(sum[:], p.icrc)
		cut := min(len(p.bth), 20)
		parts := Parts{QPN: 5, IP: p.ip, UDP: p.udp, BTH: p.bth[:cut], Payload: [][]byte{p.bth[cut:]}, Trailer: sum[:]}
		frames := record(t, Filter{}, func(tap *Tap) { tap.Packet(&parts) })
		want := bytes.Join([][]byte{p.ip, p.udp, p.bth, sum[:]}, nil)
		if len(frames) != 1 || !bytes.Equal(frames[0][etherSize:], want) {
			t.Fatalf("%s was changed", p.h.Opcode)
		}
		src, dst := mac(p.src), mac(p.dst)
		if f := frames[0]; !bytes.Equal(f[:6], dst[:]) || !bytes.Equal(f[6:12], src[:]) || f[12] != 8 || f[13] != 0 {
			t.Errorf("Ethernet header % x", f[:etherSize])
		}
	}
}

func TestOversizePacketIsCut(t *testing.T) {
	p := captured(t, "rc_send1_mtu1024")[0]
	var tap Tap
	r, _ := tap.start(Filter{})
	tap.Packet(&Parts{IP: p.ip, UDP: p.udp, BTH: make([]byte, 9000)})
	if s := r.next(); s.n != slotSize || s.length != etherSize+20+8+9000 {
		t.Errorf("%d bytes of %d", s.n, s.length)
	}
	for _, ip := range [][]byte{nil, {0x45}, make([]byte, 40)} {
		tap.Packet(&Parts{IP: ip})
	}
	if r.head.Load() != 1 {
		t.Error("what has no IP header was recorded")
	}
}

func TestFilter(t *testing.T) {
	c := netip.MustParseAddr("10.77.0.3")
	m := Message{Service: wire.ServiceUD, Kind: wire.KindSend, Src: a4, Dst: b4, SrcQP: 1, DestQP: 2, MTU: 1024}
	for _, x := range []struct {
		filter Filter
		want   int
	}{
		{Filter{}, 1}, {Filter{Addrs: []netip.Addr{a4}}, 1}, {Filter{Addrs: []netip.Addr{c, b4}}, 1}, {Filter{Addrs: []netip.Addr{c}}, 0},
		{Filter{QPN: 1}, 1}, {Filter{QPN: 2}, 1}, {Filter{QPN: 3}, 0}, {Filter{Addrs: []netip.Addr{c}, QPN: 1}, 0},
	} {
		if got := len(record(t, x.filter, func(tap *Tap) { tap.Message(&m) })); got != x.want {
			t.Errorf("%+v: %d packets of a message", x.filter, got)
		}
	}
	p := captured(t, "rc_send1_mtu1024")[0]
	parts := Parts{QPN: 7, IP: p.ip, UDP: p.udp, BTH: p.bth}
	for qpn, want := range map[uint32]int{7: 1, p.h.DestQP: 0} { // the number of a queue pair elsewhere
		if got := len(record(t, Filter{QPN: qpn}, func(tap *Tap) { tap.Packet(&parts) })); got != want {
			t.Errorf("queue pair %#x: %d packets", qpn, got)
		}
	}
}

func TestOffCostsNothing(t *testing.T) {
	var tap Tap
	m := samples()[0]
	if tap.Active() || (*Tap)(nil).Active() {
		t.Error("active")
	}
	tap.Message(&m)
	tap.Packet(&Parts{})
}

func TestMAC(t *testing.T) {
	for ip, want := range map[string][6]byte{
		"10.77.0.1":           {0x02, 0xff, 10, 77, 0, 1},
		"fe80::ff:aff:fe4d:1": {0x02, 0xff, 10, 77, 0, 1}, // vnet.LinkLocal of that
		"239.1.2.3":           {0x01, 0x00, 0x5e, 1, 2, 3},
		"ff02::1:2":           {0x33, 0x33, 0, 1, 0, 2},
		"fd00::1":             {0x02, 0xff, 0, 0, 0, 1},
	} {
		if got := mac(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: % x", ip, got)
		}
	}
}

// TestRing: many writers, one reader that is too slow at times. No frame is torn, each writer's come in order, and none is
// neither read nor counted.
func TestRing(t *testing.T) {
	const writers, each = 4, 20_000
	r := newRing(Filter{}, 64)
	var all sync.WaitGroup
	for id := range writers {
		all.Go(func() {
			for n := range each {
				s := r.claim()
				if s == nil {
					continue
				}
				for i := 0; i < 256; i += 8 {
					binary.LittleEndian.PutUint64(s.frame[i:], uint64(id)<<32|uint64(n))
				}
				s.publish()
			}
		})
	}
	ended := make(chan struct{})
	go func() { all.Wait(); close(ended) }()
	got := 0
	next := [writers]uint64{}
	for running := true; ; {
		s := r.next()
		if s == nil {
			if !running {
				break
			}
			select {
			case <-ended:
				running = false
			case <-time.After(time.Millisecond):
			}
			continue
		}
		v := binary.LittleEndian.Uint64(s.frame[:])
		for i := 0; i < 256; i += 8 {
			if binary.LittleEndian.Uint64(s.frame[i:]) != v {
				t.Fatal("a frame is torn")
			}
		}
		id, n := v>>32, v&0xffffffff
		if n < next[id] {
			t.Fatalf("writer %d: %d after %d", id, n, next[id])
		}
		next[id] = n + 1
		r.done(s)
		got++
	}
	if got+int(r.dropped.Load()) != writers*each {
		t.Errorf("%d read, %d dropped of %d", got, r.dropped.Load(), writers*each)
	}
}
