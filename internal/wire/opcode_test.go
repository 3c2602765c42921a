package wire_test

import (
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// TestOpcodes holds the table to what the specification says of all opcodes (table 38), in other words than the table's.
func TestOpcodes(t *testing.T) {
	known := 0
	for n := range 256 {
		op := wire.Opcode(n)
		i := op.Info()
		if i == nil {
			if h := (wire.Header{Opcode: op}); h.Size() != 0 {
				t.Errorf("%v is unknown and has a size", op)
			}
			continue
		}
		known++
		if i.HeaderLen > wire.MaxHeaderSize || i.HeaderLen%4 != 0 || i.Name == "" || i.Kind == 0 {
			t.Errorf("%v: %+v", op, *i)
		}
		acks := i.Kind == wire.KindAck || i.Kind == wire.KindAtomicAck || i.Kind == wire.KindReadResponse && (i.First || i.Last)
		if i.HasAETH != acks {
			t.Errorf("%v: has AETH: %v", op, i.HasAETH)
		}
		if i.HasRETH != (i.Kind == wire.KindReadRequest || i.Kind == wire.KindAtomicWrite || i.Kind == wire.KindWrite && i.First) {
			t.Errorf("%v: has RETH: %v", op, i.HasRETH)
		}
		if (i.HasImm || i.HasIETH) && !i.Last {
			t.Errorf("%v: immediate data or a key before the message's end", op)
		}
		if i.HasDETH != (i.Service == wire.ServiceUD) {
			t.Errorf("%v: has DETH: %v", op, i.HasDETH)
		}
		answer := i.Kind == wire.KindReadResponse || acks || i.Kind == wire.KindCNP
		if i.Request == answer {
			t.Errorf("%v: is a request: %v", op, i.Request)
		}
	}
	if known != 24+12+2+2 {
		t.Errorf("%d opcodes are known", known)
	}
}

// TestServicesAlike: UC has the opcodes of RC up to WRITE Only with Immediate, and they say the same.
func TestServicesAlike(t *testing.T) {
	for n := range wire.Opcode(0x20) {
		rc, uc := n.Info(), (n | 0x20).Info()
		if n > wire.OpRCRDMAWriteOnlyImm {
			if uc != nil {
				t.Errorf("%v is known", n|0x20)
			}
			continue
		}
		same := *uc
		same.Service, same.Name = rc.Service, "R"+uc.Name[1:]
		if same != *rc || uc.Service != wire.ServiceUC {
			t.Errorf("%+v and %+v", *rc, *uc)
		}
	}
}

func TestOpcodeString(t *testing.T) {
	for op, want := range map[wire.Opcode]string{
		wire.OpRCSendFirst: "RC SEND First", wire.OpFFAck: "FreeFlow Acknowledge", 0x1f: "opcode 0x1f",
	} {
		if op.String() != want {
			t.Errorf("%q, want %q", op, want)
		}
	}
}
