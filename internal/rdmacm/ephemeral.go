package rdmacm

import (
	"math/bits"
	"syscall"
)

// Ports that programs do not choose themselves, as net.ipv4.ip_local_port_range has them.
const (
	ephemeralFirst = 32768
	ephemeralLast  = 60999
	ephemerals     = ephemeralLast - ephemeralFirst + 1
)

// shareTries bounds the search for a port that an ID may have besides its owners: a container with all ports taken must not keep the
// others waiting.
const shareTries = 256

// ephemeralSet is the ephemeral ports of a space that have owners.
type ephemeralSet [(ephemerals + 63) / 64]uint64

// mark says whether a port has owners.
func (s *ephemeralSet) mark(num uint16, on bool) {
	if num < ephemeralFirst || num > ephemeralLast {
		return
	}
	word, bit := (num-ephemeralFirst)/64, (num-ephemeralFirst)%64
	s[word] &^= 1 << bit
	if on {
		s[word] |= 1 << bit
	}
}

// free finds a port without owners that is not the one given, from the start-th on, round about. 0 if there is none.
func (s *ephemeralSet) free(start int, not uint16) uint16 {
	for k := range len(s) + 1 {
		word := (start/64 + k) % len(s)
		open := ^s[word]
		if k == 0 {
			open &= ^uint64(0) << (start % 64)
		}
		for ; open != 0; open &= open - 1 {
			n := word*64 + bits.TrailingZeros64(open)
			if num := uint16(ephemeralFirst + n); n < ephemerals && num != not {
				return num
			}
		}
	}
	return 0
}

// anyPort gives an ID an ephemeral port, from a random one on: one that is free, or else one whose owners talk to others than the ID
// will. The port given last is not given again at once.
func (m *member) anyPort(i *id, random func() uint32) error {
	start := int(random() % ephemerals)
	if num := m.ephemeral(i.ps).free(start, m.lastPort); num != 0 {
		m.give(i, num)
		return nil
	}
	if isAny(i.src) && isAny(i.dst) {
		return syscall.EADDRNOTAVAIL
	}
	for k := range shareTries {
		num := uint16(ephemeralFirst + (start+k)%ephemerals)
		if num != m.lastPort && m.unique(port{i.ps, num}, i) {
			m.give(i, num)
			return nil
		}
	}
	return syscall.EADDRNOTAVAIL
}

func (m *member) give(i *id, num uint16) {
	m.lastPort, i.src.Port = num, num
	m.hold(port{i.ps, num}, i)
}

func (m *member) ephemeral(space uint16) *ephemeralSet {
	s := m.ephemerals[space]
	if s == nil {
		s = &ephemeralSet{}
		m.ephemerals[space] = s
	}
	return s
}
