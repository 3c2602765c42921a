package wire_test

import (
	"fmt"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

var sink struct {
	n int
	u uint32
}

func BenchmarkParse(b *testing.B) {
	for _, op := range []wire.Opcode{wire.OpRCSendMiddle, wire.OpRCAcknowledge, wire.OpRCRDMAWriteOnlyImm, wire.OpRCCompareSwap, wire.OpFFAck} {
		b.Run(op.String(), func(b *testing.B) {
			h := wire.Header{Opcode: op}
			packet := make([]byte, h.Size())
			h.Put(packet)
			b.ReportAllocs()
			for b.Loop() {
				p, err := wire.Parse(packet, &h)
				if err != nil {
					b.Fatal(err)
				}
				sink.n += len(p)
			}
		})
	}
}

func BenchmarkPut(b *testing.B) {
	for _, op := range []wire.Opcode{wire.OpRCSendMiddle, wire.OpRCAcknowledge, wire.OpRCRDMAWriteOnlyImm, wire.OpRCCompareSwap, wire.OpFFAck} {
		b.Run(op.String(), func(b *testing.B) {
			h := wire.Header{Opcode: op, PSN: 5, VA: 7}
			packet := make([]byte, h.Size())
			b.ReportAllocs()
			for b.Loop() {
				sink.n += h.Put(packet)
			}
		})
	}
}

// BenchmarkICRC has the payload apart from the headers (a sender's, gathered from registered memory) and in one piece with them
// (a receiver's).
func BenchmarkICRC(b *testing.B) {
	for _, n := range []int{0, 64, 1024, 4096} {
		ip, udp, bth := ipv4Packet(n)
		b.Run(fmt.Sprintf("apart/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c := wire.Begin(ip, udp, bth[:wire.BTHSize])
				c.Update(bth[wire.BTHSize:])
				sink.u += c.Sum()
			}
		})
		b.Run(fmt.Sprintf("whole/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sink.u += wire.ICRC(ip, udp, bth)
			}
		})
	}
}

func BenchmarkFindID(b *testing.B) {
	for _, n := range []int{64, 4096} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				id, _ := wire.FindID(uint32(i)|1<<31, 5, n)
				sink.n += int(id)
			}
		})
	}
}

func BenchmarkIPv4SetLength(b *testing.B) {
	ip, _, _ := ipv4Packet(64)
	for i := 0; b.Loop(); i++ {
		ip.SetLength(1000, uint16(i))
	}
}
