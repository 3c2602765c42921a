package wire_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

const goldenMAD = `
	01 07 02 03      # base version, communication management 2, Send
	0000 0000        # status, class specific
	0000000112345678 # transaction
	0014 0000        # Ready To Use
	00000009         # modifier
	aabbccdd         # local communication ID
	11223344         # remote`

func madOf(t testing.TB) []byte {
	return append(golden(t, goldenMAD), make([]byte, wire.MADSize-32)...)
}

func TestMAD(t *testing.T) {
	want := madOf(t)
	m, err := wire.ParseMAD(want)
	if err != nil {
		t.Fatal(err)
	}
	f := wire.MADFields{Class: m.Class(), ClassVersion: m.ClassVersion(), Method: m.Method(), Status: m.Status(), TID: m.TID(),
		Attribute: m.Attribute(), Modifier: m.Modifier()}
	if f != (wire.MADFields{Class: wire.ClassCM, ClassVersion: wire.ClassVersionCM, Method: wire.MethodSend, TID: 0x112345678,
		Attribute: wire.AttrReadyToUse, Modifier: 9}) || m.LocalCommID() != 0xaabbccdd || m.RemoteCommID() != 0x11223344 {
		t.Errorf("%+v", f)
	}
	if len(m.Data()) != 232 {
		t.Errorf("%d bytes of the class", len(m.Data()))
	}
	again := append(bytes.Repeat([]byte{0xee}, 24), want[24:]...)
	wire.MAD(again).Put(&f)
	if !bytes.Equal(again, want) {
		t.Errorf("%x, want %x", again, want)
	}
}

func TestMADErrors(t *testing.T) {
	b := madOf(t)
	if _, err := wire.ParseMAD(b[:255]); !errors.Is(err, wire.ErrShort) {
		t.Errorf("255 bytes: %v", err)
	}
	if _, err := wire.ParseMAD(append(b, 0)); !errors.Is(err, wire.ErrLength) {
		t.Errorf("257 bytes: %v", err)
	}
	b[0] = 2
	if _, err := wire.ParseMAD(b); !errors.Is(err, wire.ErrVersion) {
		t.Errorf("version 2: %v", err)
	}
}

func FuzzMAD(f *testing.F) {
	f.Add(madOf(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := wire.ParseMAD(b)
		if err != nil {
			return
		}
		again := make(wire.MAD, wire.MADSize)
		again.Put(&wire.MADFields{Class: m.Class(), ClassVersion: m.ClassVersion(), Method: m.Method(), Status: m.Status(), TID: m.TID(),
			Attribute: m.Attribute(), Modifier: m.Modifier()})
		copy(again[wire.MADHeaderSize:], m.Data())
		again[6], again[7], again[18], again[19] = b[6], b[7], b[18], b[19] // class specific, reserved
		if !bytes.Equal(again, m) {
			t.Fatalf("%x, want %x", again, m)
		}
	})
}
