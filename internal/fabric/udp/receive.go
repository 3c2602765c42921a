package udp

import (
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Room of a Receiver: 16 messages of a whole run each, or without UDP_GRO 64 of a packet each.
const (
	groMessages   = 4
	groRoom       = 64 << 10
	plainMessages = 64
	plainRoom     = 16 << 10
)

// Arrival is one packet received. Bytes are the Receiver's, valid until its next Poll.
type Arrival struct {
	Src   netip.AddrPort // IPv6 without its zone
	Bytes []byte         // UDP payload
	TOS   uint8          // IPv4 TOS or IPv6 traffic class; the low two bits are ECN
	// Index is the packet's place in its message: if the sender made it a run, the IPv4 identification that it has. A hint only: the
	// message may be made of what the network gave one by one.
	Index int
}

// ECN codepoints, the low two bits of Arrival.TOS and Config.TOS (RFC 3168 §5).
const (
	ECNMask = 3
	ECT0    = 2
	ECT1    = 1
	CE      = 3
)

// Receiver takes packets from a socket, many with one system call. One worker's.
type Receiver struct {
	fd       int
	counters *Counters
	recv     func(fd int, msgs []mmsghdr) (int, syscall.Errno)

	room    int // bytes of a message
	buffer  []byte
	msgs    []mmsghdr
	vecs    []iovec
	names   [][unix.SizeofSockaddrInet6]byte
	control [][controlRoom]byte

	got      int     // messages of the last Poll
	next     int     // the first of them that Next has not looked at
	now      Arrival // of the message being cut; Bytes is what is left of it
	size     int     // of its packets
	overflow uint32  // as the kernel said last
}

func newReceiver(fd int, gro bool, c *Counters) *Receiver {
	n, room := plainMessages, plainRoom
	if gro {
		n, room = groMessages, groRoom
	}
	r := &Receiver{
		fd: fd, counters: c, recv: recvmmsg, room: room,
		buffer:  make([]byte, n*room),
		msgs:    make([]mmsghdr, n),
		vecs:    make([]iovec, n),
		names:   make([][unix.SizeofSockaddrInet6]byte, n),
		control: make([][controlRoom]byte, n),
	}
	for i := range r.msgs {
		r.vecs[i] = vecOf(r.buffer[i*room:][:room])
		r.arm(i)
	}
	return r
}

// arm makes message i ready to be received into.
func (r *Receiver) arm(i int) {
	r.msgs[i].msghdr = msghdr{
		name: addressOf(r.names[i][:]), namelen: unix.SizeofSockaddrInet6,
		iov: addressOfVecs(r.vecs[i:]), iovlen: 1,
		control: addressOf(r.control[i][:]), controllen: controlRoom,
	}
}

// Poll receives messages with one system call, without waiting, and forgets those of the last Poll. more says that there may be
// more of them.
func (r *Receiver) Poll() (messages int, more bool) {
	for i := range r.msgs[:r.got] {
		r.arm(i)
	}
	r.got, r.next, r.now.Bytes = 0, 0, nil
	r.counters.ReceiveCalls.Add(1)
	n, errno := r.recv(r.fd, r.msgs)
	if errno != 0 {
		if errno != unix.EAGAIN && errno != unix.EINTR {
			r.counters.ReceiveErrors.Add(1)
		}
		return 0, errno != unix.EAGAIN
	}
	r.got = n
	r.counters.ReceivedMessages.Add(uint64(n))
	return n, n == len(r.msgs)
}

// Next gives the next packet of what Poll received, in order of arrival; false if there is none.
func (r *Receiver) Next(a *Arrival) bool {
	for len(r.now.Bytes) == 0 {
		if r.next == r.got {
			return false
		}
		r.open(r.next)
		r.next++
	}
	*a = r.now
	n := min(r.size, len(a.Bytes))
	a.Bytes = a.Bytes[:n:n]
	r.now.Bytes = r.now.Bytes[n:]
	r.now.Index++
	return true
}

// open begins to cut message i. A malformed one has no packets, as has an empty one.
func (r *Receiver) open(i int) {
	m := &r.msgs[i]
	r.now = Arrival{}
	if m.flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 || int(m.n) > r.room || m.controllen > controlRoom || m.namelen > unix.SizeofSockaddrInet6 {
		r.counters.ReceiveMalformed.Add(1)
		return
	}
	side, ok := parseControl(r.control[i][:m.controllen])
	if !ok {
		r.counters.ReceiveMalformed.Add(1)
		return
	}
	r.now = Arrival{Src: parseSockaddr(r.names[i][:m.namelen]), Bytes: r.buffer[i*r.room:][:m.n], TOS: side.tos}
	r.size = side.segment
	if r.size == 0 {
		r.size = int(m.n)
	}
	r.account(&side, int(m.n))
}

func (r *Receiver) account(side *aside, n int) {
	if n == 0 {
		return
	}
	packets := uint64((n + r.size - 1) / r.size)
	r.counters.ReceivedPackets.Add(packets)
	r.counters.ReceivedBytes.Add(uint64(n))
	if side.tos&ECNMask == CE {
		r.counters.ReceivedCE.Add(packets)
	}
	if side.overran {
		r.counters.ReceiveOverflowed.Add(uint64(side.overflow - r.overflow))
		r.overflow = side.overflow
	}
}
