package relay

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// Config is what the wire does to packets. Rates are from 0 to 1, each judged by itself for every packet.
type Config struct {
	Loss      float64
	Reorder   float64 // held back until 1 to 8 later packets have passed, or 2 ms
	Duplicate float64 // sent twice, one after the other
	Corrupt   float64 // one to three bits of the UDP payload flipped, the UDP checksum made to agree
	Seed      int64

	// Only says which packets the wire is bad to, by the whole Ethernet frame; nil is all of IP. ARP and neighbour
	// discovery always pass: without them tests would wait for them, and learn nothing.
	Only func(frame []byte) bool
}

// UDP is an Only: packets to these UDP ports, and fragments of none.
func UDP(ports ...uint16) func(frame []byte) bool {
	return func(frame []byte) bool {
		d, ok := datagramIn(frame)
		return ok && slices.Contains(ports, d.udp.DstPort())
	}
}

// Counts is what became of the packets of one direction.
type Counts struct {
	Passed, Lost, Reordered, Duplicated, Corrupted uint64
}

// farthest is behind how many later packets a packet can come that is held back.
const farthest = 8

// mangler decides for one direction. It is one goroutine's.
type mangler struct {
	Config
	Counts
	rand *rand.Rand
	held []heldFrame
}

type heldFrame struct {
	frame []byte
	after int // so many frames pass before it
}

// newMangler makes the mangler of a direction, 0 or 1: the two draw different numbers.
func newMangler(c Config, direction uint64) *mangler {
	return &mangler{Config: c, rand: rand.New(rand.NewPCG(uint64(c.Seed), direction))}
}

// pass says what leaves the wire when frame enters it, by calling emit for each. Frame may be changed, and is
// the caller's again afterwards.
func (m *mangler) pass(frame []byte, emit func([]byte)) {
	if !isIP(frame) || m.Only != nil && !m.Only(frame) {
		emit(frame)
		return
	}
	if m.hit(m.Loss) {
		m.Lost++
		return
	}
	if m.hit(m.Corrupt) && m.corrupt(frame) {
		m.Corrupted++
	}
	copies := 1
	if m.hit(m.Duplicate) {
		m.Duplicated++
		copies = 2
	}
	if m.hit(m.Reorder) {
		m.Reordered++
		for range copies {
			m.held = append(m.held, heldFrame{slices.Clone(frame), m.rand.IntN(farthest) + 1})
		}
		return
	}
	for range copies {
		m.Passed++
		emit(frame)
	}
	m.release(emit)
}

// release counts the frame that passed for those held back.
func (m *mangler) release(emit func([]byte)) {
	kept := m.held[:0]
	for _, h := range m.held {
		if h.after--; h.after > 0 {
			kept = append(kept, h)
			continue
		}
		m.Passed++
		emit(h.frame)
	}
	m.held = kept
}

// flush lets all go that is held back.
func (m *mangler) flush(emit func([]byte)) {
	for _, h := range m.held {
		m.Passed++
		emit(h.frame)
	}
	m.held = m.held[:0]
}

// hit draws a number even for a rate of 0, so that changing one rate leaves the other decisions as they were.
func (m *mangler) hit(rate float64) bool { return m.rand.Float64() < rate }

// corrupt flips bits of a UDP payload; false if there is none.
func (m *mangler) corrupt(frame []byte) bool {
	d, ok := datagramIn(frame)
	if !ok || len(d.payload) == 0 {
		return false
	}
	for range 1 + m.rand.IntN(3) {
		bit := m.rand.IntN(8 * len(d.payload))
		d.payload[bit/8] ^= 1 << (bit % 8)
	}
	d.resum()
	return true
}

const (
	etherSize = 14
	typeIPv4  = 0x0800
	typeIPv6  = 0x86dd
	protoUDP  = 17
	protoICMP = 58 // version 6, neighbour discovery among it
)

func isIP(frame []byte) bool {
	if len(frame) < etherSize+1 {
		return false
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case typeIPv4:
		return true
	case typeIPv6:
		return len(frame) >= etherSize+wire.IPv6Size && frame[etherSize+6] != protoICMP
	}
	return false
}
