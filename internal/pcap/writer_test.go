package pcap

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

var golden = []byte{
	0x4d, 0x3c, 0xb2, 0xa1, // magic, nanoseconds
	2, 0, 4, 0, // version
	0, 0, 0, 0, 0, 0, 0, 0, // time zone and accuracy, which nobody uses
	0xff, 0xff, 0, 0, // bytes of a packet at most
	1, 0, 0, 0, // Ethernet
	0x10, 0, 0, 0, 0x07, 0, 0, 0, // second 16 and 7 ns
	3, 0, 0, 0, 5, 0, 0, 0, // 3 bytes of 5
	'a', 'b', 'c',
}

func TestWriter(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(Record{At: time.Unix(16, 7), Frame: []byte("abc"), Length: 5}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), golden) {
		t.Errorf("% x", b.Bytes())
	}
	other, err := pcapgo.NewReader(bytes.NewReader(b.Bytes()))
	if err != nil || other.LinkType() != layers.LinkTypeEthernet {
		t.Fatal(err)
	}
	frame, info, err := other.ReadPacketData()
	if err != nil || string(frame) != "abc" || info.Length != 5 || !info.Timestamp.Equal(time.Unix(16, 7)) {
		t.Errorf("%q, %+v, %v", frame, info, err)
	}
}

func TestReader(t *testing.T) {
	r, err := NewReader(bytes.NewReader(golden))
	if err != nil {
		t.Fatal(err)
	}
	rec, err := r.Next()
	if err != nil || string(rec.Frame) != "abc" || rec.Length != 5 || !rec.At.Equal(time.Unix(16, 7)) {
		t.Errorf("%+v, %v", rec, err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(golden)
	f.Fuzz(func(_ *testing.T, b []byte) {
		r, err := NewReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		for range 100 {
			rec, err := r.Next()
			if err != nil {
				return
			}
			_ = rec.Line()
		}
	})
}

func TestLine(t *testing.T) {
	want := []string{
		"10.77.0.1 > 10.77.0.2 RC SEND First qp 0x000022 psn 16777214 len 1024",
		"10.77.0.1 > 10.77.0.2 RC SEND Last with Immediate qp 0x000022 psn 16777215 imm 0x7 len 1 ackreq",
		"10.77.0.2 > 10.77.0.1 RC Acknowledge qp 0x000011 psn 16777215 ack msn 5",
		"10.77.0.1 > 10.77.0.2 RC CmpSwap qp 0x000022 psn 16777214 va 0x7f0000001000 rkey 0x1234 swap or add 0x2 compare 0x1 ackreq",
		"10.77.0.2 > 10.77.0.1 RC ATOMIC Acknowledge qp 0x000011 psn 16777214 ack msn 5 was 0x3",
		"10.77.0.1 > 10.77.0.2 UD SEND Only qp 0x000022 psn 16777214 from 0x000011 qkey 0x11111111 len 13",
		"nak access msn 5",
	}
	var lines []string
	for _, m := range samples() {
		for _, frame := range record(t, Filter{}, func(tap *Tap) { tap.Message(&m) }) {
			r := Record{At: time.Unix(0, 0).UTC(), Frame: frame, Length: len(frame)}
			lines = append(lines, r.Line())
		}
	}
	all := strings.Join(lines, "\n")
	for _, w := range want {
		if !strings.Contains(strings.ToLower(all), strings.ToLower(w)) {
			t.Errorf("no line %q", w)
		}
	}
	if t.Failed() {
		t.Log(all[:min(len(all), 4000)])
	}
}

func FuzzLine(f *testing.F) {
	for _, m := range samples() {
		for _, frame := range record(f, Filter{}, func(tap *Tap) { tap.Message(&m) }) {
			f.Add(frame)
		}
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		r := Record{Frame: frame}
		if line := r.Line(); strings.ContainsAny(line, "\n\x1b") {
			t.Errorf("%q", line)
		}
	})
}
