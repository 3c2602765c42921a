package pcap

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// Tap is where workers leave copies of packets while somebody listens. The zero Tap is off. A nil *Tap is off for good.
type Tap struct {
	ring atomic.Pointer[ring]
	last atomic.Pointer[Stats] // of the capture that ended last
}

// Filter says which packets are wanted. The zero Filter wants all.
type Filter struct {
	Addrs []netip.Addr // of or for one of these; any if there are none
	QPN   uint32       // of or for this queue pair of this host; any if 0
}

func (f *Filter) addrs(src, dst netip.Addr) bool {
	return len(f.Addrs) == 0 || slices.Contains(f.Addrs, src) || slices.Contains(f.Addrs, dst)
}

// Stats is what came of a capture.
type Stats struct {
	Captured uint64 `json:"captured"`
	Dropped  uint64 `json:"dropped"` // since the reader did not keep up
	Running  bool   `json:"running"` // another capture runs now, or this one has not quite ended
}

// Active says whether somebody listens. It costs one atomic load: ask before anything is done for a capture.
func (t *Tap) Active() bool { return t != nil && t.ring.Load() != nil }

// Parts is a packet as a worker has it: pieces that follow each other. Those that a packet does not have are empty.
type Parts struct {
	QPN     uint32 // this host's queue pair, which sends or receives it
	IP      []byte // IPv4 or IPv6 header, with the addresses that the containers see
	UDP     []byte // its header
	BTH     []byte // and what follows in one piece with it
	Payload [][]byte
	Trailer []byte // pad and ICRC
}

// Packet records a packet that is sent or has been received.
func (t *Tap) Packet(p *Parts) {
	r := t.ring.Load()
	if r == nil || r.filter.QPN != 0 && r.filter.QPN != p.QPN {
		return
	}
	src, dst, ok := addresses(p.IP)
	if !ok || !r.filter.addrs(src, dst) {
		return
	}
	s := r.claim()
	if s == nil {
		return
	}
	putEthernet(s.frame[:], src, dst)
	s.n, s.length = etherSize, etherSize
	s.add(p.IP)
	s.add(p.UDP)
	s.add(p.BTH)
	for _, part := range p.Payload {
		s.add(part)
	}
	s.add(p.Trailer)
	s.publish()
}

// add appends b to the frame, as far as it has room.
func (s *slot) add(b []byte) {
	s.n += copy(s.frame[s.n:], b)
	s.length += len(b)
}

// addresses of an IP header.
func addresses(ip []byte) (src, dst netip.Addr, ok bool) {
	switch {
	case len(ip) >= wire.IPv6Size && ip[0]>>4 == 6:
		return wire.IPv6(ip).Src(), wire.IPv6(ip).Dst(), true
	case len(ip) >= wire.IPv4Size && ip[0]>>4 == 4:
		return wire.IPv4(ip).Src(), wire.IPv4(ip).Dst(), true
	}
	return src, dst, false
}

// ErrBusy means that a capture runs already.
var ErrBusy = errors.New("another capture is running")

// start switches the tap on.
func (t *Tap) start(f Filter) (*ring, error) {
	r := newRing(f, ringSlots)
	if !t.ring.CompareAndSwap(nil, r) {
		return nil, ErrBusy
	}
	return r, nil
}

// stop switches the tap off. A worker that writes to the ring still is the last to hold it.
func (t *Tap) stop(r *ring, captured uint64) {
	t.last.Store(&Stats{Captured: captured, Dropped: r.dropped.Load()})
	t.ring.Store(nil)
}

const (
	etherSize = 14
	typeIPv4  = 0x0800
	typeIPv6  = 0x86dd
)

// putEthernet writes the header of a frame between the containers' eth0s.
func putEthernet(b []byte, src, dst netip.Addr) {
	d, s := mac(dst), mac(src)
	copy(b, d[:])
	copy(b[6:], s[:])
	binary.BigEndian.PutUint16(b[12:], typeIPv4)
	if src.Is6() || dst.Is6() {
		binary.BigEndian.PutUint16(b[12:], typeIPv6)
	}
}

// mac is the hardware address that goes with an address, as in package vnet: 02:ff and the IPv4 address, which a link-local address
// has in it too (EUI-64). Multicast addresses have their own (RFC 1112, RFC 2464).
func mac(a netip.Addr) [6]byte {
	if a.Is4() {
		b := a.As4()
		if a.IsMulticast() {
			return [6]byte{0x01, 0x00, 0x5e, b[1] & 0x7f, b[2], b[3]}
		}
		return [6]byte{0x02, 0xff, b[0], b[1], b[2], b[3]}
	}
	b := a.As16()
	switch {
	case a.IsMulticast():
		return [6]byte{0x33, 0x33, b[12], b[13], b[14], b[15]}
	case a.IsLinkLocalUnicast():
		return [6]byte{b[8] ^ 2, b[9], b[10], b[13], b[14], b[15]}
	}
	return [6]byte{0x02, 0xff, b[12], b[13], b[14], b[15]}
}
