package fdconn

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func TestOpenCMBodies(t *testing.T) {
	q, err := ParseRequest(unhex(t, "08000000 08000000 0100000000000000 01000000 02000000")) // op, length, seq; version, flags
	if err != nil || q.Op != OpOpenCM || q.Op.String() != "OPEN_CM" {
		t.Fatalf("%+v, %v", q, err)
	}
	if open, err := ParseOpenCM(q.Body); err != nil || open != (OpenCM{Version: 1, Flags: 2}) {
		t.Errorf("OPEN_CM %+v, %v", open, err)
	}
	for n := range 40 {
		if _, err := ParseOpenCM(make([]byte, n)); (err == nil) != (n == 8) {
			t.Errorf("%d bytes where 8 are right: %v", n, err)
		}
	}
	got := hex.EncodeToString(AppendCMOpened([]byte{0xff}, 0x0102030405060708))
	if want := "ff0807060504030201"; got != want {
		t.Errorf("reply %s, want %s", got, want)
	}
}

func TestCMCommandBodies(t *testing.T) {
	head := "0900000000000000 0700000000000000 0b000000 04000000" // inode, aux, 11 bytes of command, 4 of data
	cmd := "0e000000 03000000 aabbcc 0000000000"                  // padded to 8
	c, err := ParseCMCommand(unhex(t, head+cmd+"01020304"))
	if err != nil || c.Inode != 9 || c.Aux != 7 ||
		!bytes.Equal(c.Cmd, unhex(t, "0e000000 03000000 aabbcc")) || !bytes.Equal(c.Data, []byte{1, 2, 3, 4}) {
		t.Fatalf("%+v, %v", c, err)
	}
	if c, err := ParseCMCommand(make([]byte, 24)); err != nil || len(c.Cmd) != 0 || len(c.Data) != 0 {
		t.Errorf("nothing at all: %+v, %v", c, err)
	}
	zeros := strings.Repeat("00", 16)
	for _, b := range []string{
		"", head, head + cmd, head + cmd + "010203", head + cmd + "0102030405", head + cmd[:len(cmd)-2],
		zeros + "ffffffff 00000000", zeros + "00000000 ffffffff", zeros + "f8ffffff ffffffff", zeros[:30] + "00000000 00000000",
	} {
		if got, err := ParseCMCommand(unhex(t, b)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %+v, %v", b, got, err)
		}
	}
	got := hex.EncodeToString(AppendCMReply(nil, 3, []byte{0xaa, 0xbb}))
	if want := "03000000" + "00000000" + "aabb"; got != want { // tokens, reserved, response
		t.Errorf("reply %s, want %s", got, want)
	}
}

// FuzzCMCommand: no body makes the parsers panic, and what parses lies within it and accounts for all of it.
func FuzzCMCommand(f *testing.F) {
	f.Add(unhex(f, "0900000000000000 0700000000000000 0b000000 04000000 0e000000 03000000 aabbcc 0000000000 01020304"))
	f.Add(unhex(f, "01000000 00000000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = ParseOpenCM(b)
		c, err := ParseCMCommand(b)
		if err != nil {
			return
		}
		padding := -len(c.Cmd) & 7
		if cmCommandSize+len(c.Cmd)+padding+len(c.Data) != len(b) {
			t.Fatalf("command of %d and data of %d bytes in %d", len(c.Cmd), len(c.Data), len(b))
		}
	})
}
