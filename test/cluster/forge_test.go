package cluster

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/fabric"
	"github.com/freeflow-rdma/freeflow/internal/vnet"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// packet is what one router sends another, as whoever is on the underlay could make it.
type packet struct {
	outerSrc, outerDst netip.Addr
	vni                uint32
	src, dst           netip.Addr // of the containers
	wire.Header
	payload []byte
	broken  bool // its ICRC is wrong
	short   bool // its end is missing
}

// outer is the length of the headers before Geneve.
const outer = wire.IPv4Size + wire.UDPSize

// bytes is the packet from the outer IP header on.
func (p *packet) bytes() []byte {
	size := p.Size()
	rest := size + len(p.payload) + wire.ICRCSize
	b := make([]byte, outer+wire.GeneveSize+wire.IPv4Size+wire.UDPSize+rest)
	putIPv4(b, p.outerSrc, p.outerDst, len(b))
	wire.UDP(b[wire.IPv4Size:]).Put(0xd123, fabric.GenevePort, uint16(len(b)-wire.IPv4Size))
	inner := b[outer:]
	wire.Geneve(inner).Put(p.vni, wire.EtherTypeIPv4)
	inner = inner[wire.GeneveSize:]
	putIPv4(inner, p.src, p.dst, len(inner))
	udp := inner[wire.IPv4Size:]
	wire.UDP(udp).Put(0xc123, fabric.RoCEPort, uint16(len(udp)))
	bth := udp[wire.UDPSize:]
	p.Put(bth)
	copy(bth[size:], p.payload)
	sum := wire.ICRC(inner[:wire.IPv4Size], udp[:wire.UDPSize], bth[:len(bth)-wire.ICRCSize])
	if p.broken {
		sum ^= 0x10
	}
	wire.PutICRC(bth[len(bth)-wire.ICRCSize:], sum)
	if p.short {
		b = b[:len(b)-40]
		wire.IPv4(b).SetLength(uint16(len(b)), 0)
		wire.UDP(b[wire.IPv4Size:]).SetLength(uint16(len(b) - wire.IPv4Size))
	}
	return b
}

func putIPv4(b []byte, src, dst netip.Addr, length int) {
	wire.IPv4(b).Put(&wire.IPv4Fields{TTL: 64, Protocol: unix.IPPROTO_UDP, Length: uint16(length), Src: src, Dst: dst})
}

// inject sends packets from a namespace, whose own address need not be the packets' source.
func inject(t *testing.T, ns *vnet.Namespace, packets ...[]byte) {
	t.Helper()
	err := ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, b := range packets {
			if err := unix.Sendto(fd, b, 0, &unix.SockaddrInet4{Addr: wire.IPv4(b).Dst().As4()}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// queuePair is struct address of check.h.
type queuePair struct {
	qpn, psn, rkey uint32
	memory         uint64
}

func queuePairIn(b []byte) queuePair {
	u := binary.NativeEndian
	return queuePair{u.Uint32(b), u.Uint32(b[4:]), u.Uint32(b[8:]), u.Uint64(b[16:])}
}

// addressSize is sizeof(struct address).
const addressSize = 40
