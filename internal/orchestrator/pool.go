package orchestrator

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"sync"
)

// pool knows which addresses of an IPv4 network are free, as far as one orchestrator knows: a bit for each
// address that a container has, and a list of those that are being given away at this moment. It proposes; the
// transaction decides. The first address of a network (the network's own) and the last (broadcast) are nobody's.
type pool struct {
	mu     sync.Mutex
	prefix netip.Prefix
	base   uint32
	size   uint32   // addresses, including first and last
	used   []uint64 // a bit an address
	held   map[uint32]bool
	low    uint32 // no address below it is free
	free   int    // addresses whose bit is not set
}

func newPool(prefix netip.Prefix) *pool {
	b := prefix.Masked().Addr().As4()
	size := uint32(1) << (32 - prefix.Bits())
	p := &pool{
		prefix: prefix.Masked(), base: binary.BigEndian.Uint32(b[:]), size: size,
		used: make([]uint64, (size+63)/64), held: make(map[uint32]bool), free: int(size),
	}
	p.mark(0)
	p.mark(size - 1)
	return p
}

// has says whether addr may be a container's.
func (p *pool) has(addr netip.Addr) bool {
	if !addr.Is4() || !p.prefix.Contains(addr) {
		return false
	}
	i := p.index(addr)
	return i != 0 && i != p.size-1
}

func (p *pool) index(addr netip.Addr) uint32 {
	b := addr.As4()
	return binary.BigEndian.Uint32(b[:]) - p.base
}

func (p *pool) addr(i uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], p.base+i)
	return netip.AddrFrom4(b)
}

// take notes that a container has addr.
func (p *pool) take(addr netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.has(addr) {
		p.mark(p.index(addr))
	}
}

func (p *pool) mark(i uint32) {
	if p.used[i/64]&(1<<(i%64)) == 0 {
		p.used[i/64] |= 1 << (i % 64)
		p.free--
	}
}

// give notes that no container has addr any more.
func (p *pool) give(addr netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.has(addr) {
		return
	}
	i := p.index(addr)
	if p.used[i/64]&(1<<(i%64)) != 0 {
		p.used[i/64] &^= 1 << (i % 64)
		p.free++
	}
	p.low = min(p.low, i)
}

// pick proposes the first free address from a place on, around the end, and holds it: it proposes it to
// nobody else until let go. It reports false if no address is free.
func (p *pool) pick(from uint32) (netip.Addr, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	start := max(from%p.size, p.low)
	for _, span := range [2][2]uint32{{start, p.size}, {p.low, start}} {
		if i, ok := p.scan(span[0], span[1]); ok {
			if start == p.low {
				p.low = i // what is below is used or held; what is held and let go lowers it again
			}
			p.held[i] = true
			return p.addr(i), true
		}
	}
	return netip.Addr{}, false
}

// scan finds a free address in [from, to).
func (p *pool) scan(from, to uint32) (uint32, bool) {
	for i := from; i < to; {
		word := ^p.used[i/64] >> (i % 64) << (i % 64)
		for word != 0 {
			at := i/64*64 + uint32(bits.TrailingZeros64(word))
			if at >= to {
				return 0, false
			}
			if !p.held[at] {
				return at, true
			}
			word &= word - 1
		}
		i = i/64*64 + 64
	}
	return 0, false
}

// letGo ends pick's hold. By then the bit says what became of the address.
func (p *pool) letGo(addr netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.index(addr)
	delete(p.held, i)
	if p.used[i/64]&(1<<(i%64)) == 0 {
		p.low = min(p.low, i)
	}
}
