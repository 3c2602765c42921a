package fdconn

import (
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

// unhex reads hexadecimal digits with blanks.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRequestAndReply(t *testing.T) {
	q, err := ParseRequest(unhex(t, "04000000 08000000 0807060504030201 0010000000000000")) // op, length, seq, body
	if err != nil || q.Op != OpMemAlloc || q.Seq != 0x0102030405060708 {
		t.Fatalf("%+v, %v", q, err)
	}
	if length, err := ParseMemAlloc(q.Body); err != nil || length != 0x1000 {
		t.Errorf("length %#x, %v", length, err)
	}
	got := q.AppendReply(nil, syscall.ENOMEM, AppendMemAlloced(nil, 0x2000))
	want := "04000000 08000000 0c000000 08070605 0020000000000000" // op, length, ENOMEM, low half of seq, offset
	if hex.EncodeToString(got) != strings.ReplaceAll(want, " ", "") {
		t.Errorf("reply %x, want %s", got, want)
	}
}

func TestOpenBodies(t *testing.T) {
	open, err := ParseOpen(unhex(t, "01000000 02000000"))
	if err != nil || open != (Open{Version: 1, Flags: 2}) {
		t.Errorf("OPEN %+v, %v", open, err)
	}
	join, err := ParseJoin(unhex(t, "01000000 00000000 0500000000000000 000102030405060708090a0b0c0d0e0f"))
	want := Join{Open: Open{Version: 1}, ContextID: 5, Token: Token{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}}
	if err != nil || join != want {
		t.Errorf("JOIN %+v, %v", join, err)
	}
	o := Opened{NWorkers: 2, ContextID: 5, Token: want.Token, RingsDev: 6, RingsIno: 7, DoorbellSize: 8, WorkerOfCPU: []uint8{0, 1, 1}}
	body := "01000000 02000000 0500000000000000 000102030405060708090a0b0c0d0e0f" + // version, workers, id, token
		"0600000000000000 0700000000000000 0800000000000000" + // rings dev and ino, doorbell size
		"03000000 00000000 000101" // ncpu, reserved, table
	if got := hex.EncodeToString(o.Append(nil)); got != strings.ReplaceAll(body, " ", "") {
		t.Errorf("reply %s, want %s", got, body)
	}
}

func TestParseCommand(t *testing.T) {
	head := "0900000000000000 05000000 02000000" // aux, 5 bytes, 2 extents
	cmd := "0102030405 000000"                   // padded to 8
	list := "1000000000000000 2000000000000000 3000000000000000" + "4000000000000000 5000000000000000 6000000000000000"
	got, err := ParseCommand(unhex(t, head+cmd+list))
	if err != nil || got.Aux != 9 || !reflect.DeepEqual(got.Cmd, []byte{1, 2, 3, 4, 5}) || got.Extents.Len() != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	if va, length, offset := got.Extents.At(1); va != 0x40 || length != 0x50 || offset != 0x60 {
		t.Errorf("extent %#x %#x %#x", va, length, offset)
	}
	for _, b := range []string{
		"", head, head + cmd, head + cmd + list + "00", head + cmd + list[:len(list)-2],
		"0000000000000000 ffffffff 00000000", "0000000000000000 00000000 ffffffff", "0000000000000000 f8ffffff ffffffff",
	} {
		if got, err := ParseCommand(unhex(t, b)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %+v, %v", b, got, err)
		}
	}
}

func TestLengthsAreExact(t *testing.T) {
	parsers := map[int]func(b []byte) error{
		8:  func(b []byte) error { _, err := ParseOpen(b); return err },
		32: func(b []byte) error { _, err := ParseJoin(b); return err },
		16: func(b []byte) error { _, _, err := ParseSpan(b); return err },
	}
	for size, parse := range parsers {
		for n := range 40 {
			if err := parse(make([]byte, n)); (err == nil) != (n == size) {
				t.Errorf("%d bytes where %d are right: %v", n, size, err)
			}
		}
	}
}

// FuzzRequest: no datagram makes a parser panic, and what parses lies within the datagram.
func FuzzRequest(f *testing.F) {
	f.Add(unhex(f, "03000000 20000000 0000000000000000  0900000000000000 05000000 00000000 0102030405000000 0000000000000000"))
	f.Add(unhex(f, "02000000 20000000 0000000000000000  01000000 00000000 0500000000000000 000102030405060708090a0b0c0d0e0f"))
	f.Add(unhex(f, "06000000 10000000 0000000000000000  0010000000000000 0010000000000000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := ParseRequest(b)
		if err != nil {
			return
		}
		if len(q.Body) != len(b)-headerSize || len(q.AppendReply(nil, 0, q.Body)) != len(b) {
			t.Fatalf("body of %d bytes in %d", len(q.Body), len(b))
		}
		_, _ = ParseOpen(q.Body)
		_, _ = ParseJoin(q.Body)
		_, _ = ParseMemAlloc(q.Body)
		_, _, _ = ParseSpan(q.Body)
		_, _ = ParseDoorbell(q.Body)
		c, err := ParseCommand(q.Body)
		if err != nil {
			return
		}
		for i := range c.Extents.Len() {
			c.Extents.At(i)
		}
		if 16+len(c.Cmd)+len(c.Extents) > len(q.Body) || len(c.Extents)%extentSize != 0 {
			t.Fatalf("command of %d and extents of %d bytes in %d", len(c.Cmd), len(c.Extents), len(q.Body))
		}
	})
}
