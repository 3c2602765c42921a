package wire

import (
	"bytes"
	"testing"
)

func TestRider(t *testing.T) {
	b := make([]byte, GeneveSize+RiderSize)
	g := Geneve(b)
	g.Put(0xabcdef, EtherTypeIPv4)
	want := Rider{OK: true, Syndrome: 0x1f, PSN: 0x123456, MSN: 0x789abc}
	g.PutOptions(Steer{}, &want, RiderSize)
	golden := []byte{
		0x04, 0x00, 0x08, 0x00, // version 0, four words of options; IPv4
		0xab, 0xcd, 0xef, 0x00, // VNI
		0xff, 0xf0, 0x01, 0x03, // class, type 1, three words
		0x1f, 0x12, 0x34, 0x56, // syndrome, PSN
		0x00, 0x78, 0x9a, 0xbc, // MSN
	}
	if !bytes.Equal(b[:len(golden)], golden) {
		t.Errorf("% x, want % x", b, golden)
	}
	p, rest, err := ParseGeneve(append(b, 1, 2, 3))
	if err != nil || len(rest) != 3 {
		t.Fatalf("%v, %d bytes left", err, len(rest))
	}
	if got := p.Rider(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestNoRider: no option, padding, and every bit error make none.
func TestNoRider(t *testing.T) {
	b := make([]byte, GeneveSize+RiderSize)
	g := Geneve(b)
	g.Put(1, EtherTypeIPv4)
	if g[:GeneveSize].Rider().OK {
		t.Error("without an option")
	}
	g.PutOptions(Steer{}, &Rider{}, RiderSize)
	if g.Rider().OK {
		t.Error("padding")
	}
	g.PutOptions(Steer{}, &Rider{OK: true, PSN: 5}, RiderSize)
	for bit := range RiderSize * 8 {
		if bit/8 == 3 && bit%8 >= 5 {
			continue // reserved
		}
		b[GeneveSize+bit/8] ^= 1 << (bit % 8)
		if g.Rider().OK {
			t.Errorf("bit %d wrong", bit)
		}
		b[GeneveSize+bit/8] ^= 1 << (bit % 8)
	}
	if !g.Rider().OK {
		t.Error("the test has spoilt it")
	}
}
