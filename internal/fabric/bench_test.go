package fabric

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/fabric/udp"
	"github.com/freeflow-rdma/freeflow/internal/mem"
	"github.com/freeflow-rdma/freeflow/internal/transport"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// BenchmarkPacket is the making of one packet, up to but not including the system call that sends it. Nobody has the address that it goes to.
func BenchmarkPacket(b *testing.B) {
	const away = "127.0.77.99"
	c := connect(b, verbs.TypeRC, 4096, nil)
	qp := c.a.Dev.QP(c.qa.QPN)
	if c.a.carrier.current(qp).path == nil {
		b.Fatal("no route")
	}
	dest, err := udp.NewDest(netip.MustParseAddrPort(away + ":6081"))
	if err != nil {
		b.Fatal(err)
	}
	p := &transport.Path{MTU: 4096, Tag: &way{dest: dest, host: netip.MustParseAddr(away), vni: testVNI, gid: c.b.gid}}
	l := &lane{c: c.a.carrier, tunnel: c.a.carrier.Ports()[0].NewBatch(0)}
	var out transport.Output = l
	spans := []mem.Span{mem.Mapped(make([]byte, 4096))}
	for _, n := range []int{64, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			var h wire.Header
			for i := 0; b.Loop(); i++ {
				h = wire.Header{Opcode: wire.OpRCSendOnly, PKey: 0xffff, DestQP: uint32(c.qb.QPN), PSN: wire.PSN(i) & wire.PSNMask}
				out.Packet(p, qp, &h, spans, n, false)
				if l.tunnel.Room() == 0 {
					b.StopTimer()
					l.tunnel.Flush()
					b.StartTimer()
				}
			}
		})
	}
}
