package wire

import (
	"bytes"
	"testing"
)

func TestSteer(t *testing.T) {
	b := make([]byte, GeneveSize+SteerSize+RiderSize)
	g := Geneve(b)
	g.Put(0xabcdef, EtherTypeIPv4)
	want, rider := Steer{To: 3, From: 0x81}, Rider{OK: true, PSN: 7}
	g.PutOptions(want, &rider, SteerSize+RiderSize)
	golden := []byte{
		0x06, 0x00, 0x08, 0x00, // version 0, six words of options; IPv4
		0xab, 0xcd, 0xef, 0x00, // VNI
		0xff, 0xf0, 0x02, 0x01, // class, type 2, one word
		0x03, 0x81, 0x00, 0x00, // to, from
		0xff, 0xf0, 0x01, 0x03, // the rider follows
	}
	if !bytes.Equal(b[:len(golden)], golden) {
		t.Errorf("% x, want % x", b, golden)
	}
	p, _, err := ParseGeneve(b)
	if err != nil || p.Steer() != want || p.Rider() != rider {
		t.Errorf("%v: %+v and %+v, want %+v and %+v", err, p.Steer(), p.Rider(), want, rider)
	}
}

// TestNoSteer: no option, padding, a rider, one cut short and one of another length say nothing.
func TestNoSteer(t *testing.T) {
	b := make([]byte, GeneveSize+RiderSize)
	g := Geneve(b)
	g.Put(1, EtherTypeIPv4)
	if g[:GeneveSize].Steer().Some() || g[:GeneveSize+4].Steer().Some() {
		t.Error("without an option")
	}
	g.PutOptions(Steer{}, &Rider{}, RiderSize)
	if g.Steer().Some() {
		t.Error("padding")
	}
	g.PutOptions(Steer{}, &Rider{OK: true, PSN: 5}, RiderSize)
	if g.Steer().Some() {
		t.Error("a rider")
	}
	g.PutOptions(Steer{To: 1, From: 1}, &Rider{}, RiderSize)
	b[GeneveSize+3]++
	if g.Steer().Some() {
		t.Error("two words")
	}
}
