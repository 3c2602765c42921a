package wire_test

import (
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

func TestSACK(t *testing.T) {
	var s wire.SACK
	if s.Len() != 0 {
		t.Errorf("an empty SACK is %d long", s.Len())
	}
	for _, i := range []int{-1, wire.SACKBits, 1 << 30, -1 << 30} {
		s.Set(i)
		if s != (wire.SACK{}) || s.Has(i) {
			t.Errorf("bit %d, which is none, was set", i)
		}
	}
	for i := range wire.SACKBits {
		s.Set(i)
		if !s.Has(i) || s.Has(i+1) || s.Len() != i+1 {
			t.Errorf("bit %d: has %v, the next %v, length %d", i, s.Has(i), s.Has(i+1), s.Len())
		}
	}
}

// TestSyndromes holds each syndrome to be what it is and nothing else.
func TestSyndromes(t *testing.T) {
	for s := range 256 {
		is := [3]bool{wire.IsAck(uint8(s)), wire.IsRNR(uint8(s)), wire.IsNAK(uint8(s))}
		want := map[int][3]bool{0: {true}, 1: {false, true}, 2: {}, 3: {false, false, true}}[s>>5&3]
		if is != want {
			t.Errorf("syndrome %#x: ACK, RNR, NAK: %v, want %v", s, is, want)
		}
	}
}
