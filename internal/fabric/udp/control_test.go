package udp

import (
	"bytes"
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// message encodes a control message as the kernel does, with the padding that follows it.
func message(level, kind int, data ...byte) []byte {
	b := make([]byte, unix.CmsgSpace(len(data)))
	putWord(b, uint64(unix.CmsgLen(len(data))))
	binary.NativeEndian.PutUint32(b[wordSize:], uint32(level))
	binary.NativeEndian.PutUint32(b[wordSize+4:], uint32(kind))
	copy(b[unix.SizeofCmsghdr:], data)
	return b
}

func u32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func TestPutSegment(t *testing.T) {
	var got [segmentSpace]byte
	putSegment(&got, 4164)
	want := message(unix.SOL_UDP, unix.UDP_SEGMENT, binary.NativeEndian.AppendUint16(nil, 4164)...)
	if !bytes.Equal(got[:], want) {
		t.Errorf("control message %x, want %x", got, want)
	}
}

func TestParseControl(t *testing.T) {
	gro := message(unix.SOL_UDP, unix.UDP_GRO, u32(4164)...)
	for name, c := range map[string]struct {
		b    []byte
		want aside
		bad  bool
	}{
		"nothing":            {},
		"segment":            {b: gro, want: aside{segment: 4164}},
		"TOS":                {b: message(unix.SOL_IP, unix.IP_TOS, 0x6a), want: aside{tos: 0x6a}},
		"traffic class":      {b: message(unix.SOL_IPV6, unix.IPV6_TCLASS, u32(0x6b)...), want: aside{tos: 0x6b}},
		"overflow":           {b: message(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, u32(9)...), want: aside{overflow: 9, overran: true}},
		"several":            {b: append(message(unix.SOL_IP, unix.IP_TOS, 3), gro...), want: aside{tos: 3, segment: 4164}},
		"unknown is skipped": {b: append(message(99, 1, 1, 2, 3, 4, 5), gro...), want: aside{segment: 4164}},
		"no padding at end":  {b: message(unix.SOL_IP, unix.IP_TOS, 3)[:unix.CmsgLen(1)], want: aside{tos: 3}},
		"rest too short":     {b: append(bytes.Clone(gro), 1, 2, 3), want: aside{segment: 4164}},
		"length beyond end":  {b: gro[:unix.CmsgLen(3)], bad: true},
		"length too small":   {b: make([]byte, unix.SizeofCmsghdr), bad: true},
		"segment too short":  {b: message(unix.SOL_UDP, unix.UDP_GRO, 1, 2), bad: true},
		"segment too large":  {b: message(unix.SOL_UDP, unix.UDP_GRO, u32(65536)...), bad: true},
		"TOS empty":          {b: message(unix.SOL_IP, unix.IP_TOS), bad: true},
		"class too short":    {b: message(unix.SOL_IPV6, unix.IPV6_TCLASS, 1), bad: true},
		"overflow too short": {b: message(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1), bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := parseControl(c.b)
			if ok == c.bad || !c.bad && got != c.want {
				t.Errorf("parse %x: %+v, %v; want %+v", c.b, got, ok, c.want)
			}
		})
	}
}

// FuzzParseControl: never panics, and what it accepts can be used to cut a message.
func FuzzParseControl(f *testing.F) {
	f.Add(message(unix.SOL_UDP, unix.UDP_GRO, u32(1096)...))
	f.Add(append(message(unix.SOL_IP, unix.IP_TOS, 3), message(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, u32(1)...)...))
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, ok := parseControl(b); ok && (a.segment < 0 || a.segment > maxMessage) {
			t.Errorf("parse %x: segment of %d bytes", b, a.segment)
		}
	})
}
