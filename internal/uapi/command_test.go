package uapi

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "rewrite what testdata/kernel.txt says commands mean")

// legacyWrite is what a program writes for a legacy command.
func legacyWrite(c Cmd, core, uhw []byte, out int) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(c))
	b = binary.LittleEndian.AppendUint16(b, uint16((cmdHdrSize+len(core)+len(uhw))/4))
	b = binary.LittleEndian.AppendUint16(b, uint16(out/4))
	return append(append(b, core...), uhw...)
}

// extendedWrite is what a program writes for an extended command; out is the room for the core response.
func extendedWrite(c Cmd, core, uhw []byte, out, uhwOut int) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(c))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(core)/8))
	b = binary.LittleEndian.AppendUint16(b, uint16(out/8))
	response := uint64(0x7fff00001000)
	if out+uhwOut == 0 {
		response = 0
	}
	b = binary.LittleEndian.AppendUint64(b, response)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(uhw)/8))
	b = binary.LittleEndian.AppendUint16(b, uint16(uhwOut/8))
	b = binary.LittleEndian.AppendUint32(b, 0)
	return append(append(b, core...), uhw...)
}

func size(v any) int {
	if v == nil {
		return 0
	}
	return binary.Size(v)
}

// writeOf is a whole write of a command with zero fields and room for everything.
func writeOf(c Cmd) []byte {
	s := shapes[c]
	core, uhw := make([]byte, size(s.req)), make([]byte, size(s.uhwIn))
	if c&FlagExtended != 0 {
		return extendedWrite(c, core, uhw, size(s.resp), size(s.uhwOut))
	}
	return legacyWrite(c, core, uhw, size(s.resp)+size(s.uhwOut))
}

func TestEveryCommandHasShape(t *testing.T) {
	if got, want := slices.Sorted(maps.Keys(shapes)), slices.Sorted(maps.Keys(methods)); !slices.Equal(got, want) {
		t.Fatalf("shapes of %v, methods of %v", got, want)
	}
	for c, s := range shapes {
		if _, err := ParseCommand(writeOf(c)); err != nil {
			t.Errorf("%v: %v", c, err)
		}
		for _, v := range []any{s.req, s.resp, s.uhwIn, s.uhwOut} {
			if v != nil && !slices.ContainsFunc(structs, func(x any) bool { return reflect.TypeOf(x) == reflect.TypeOf(v) }) {
				t.Errorf("%T is not held against the headers", v)
			}
		}
	}
}

// TestKernel replays what programs said to a real kernel: a request decodes to what is written after it, and
// encoding a decoded response gives the kernel's bytes.
func TestKernel(t *testing.T) {
	const path = "testdata/kernel.txt"
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	var cmd Cmd
	var core []byte
	for line := range strings.Lines(string(file)) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		raw, _ := hex.DecodeString(rest)
		switch word {
		case "in", "out", "uhw":
			var sample any
			switch s := shapes[cmd]; word {
			case "in":
				sample, core = s.req, raw
			case "out":
				sample = s.resp
			case "uhw":
				sample = s.uhwOut
			}
			line += "   " + text(meaning(t, cmd, core, raw, sample)) + "\n"
		case "":
			if rest != "" {
				continue // the meaning, written anew
			}
		case "#":
		default:
			cmd = commandNamed(t, word)
		}
		out.WriteString(line)
	}
	if *rewrite {
		err = os.WriteFile(path, []byte(out.String()), 0o644)
	} else if out.String() != string(file) {
		t.Errorf("commands mean something else than %s says; now:\n%s", path, out.String())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// meaning decodes raw as a struct like sample. What is a response has to come out again as it was.
func meaning(t *testing.T, cmd Cmd, core, raw []byte, sample any) any {
	v, err := decoded(raw, sample)
	if err != nil || len(raw) != size(sample) {
		t.Fatalf("%v: %d bytes for %T: %v", cmd, len(raw), sample, err)
	}
	c, err := ParseCommand(legacyWrite(cmd, core, make([]byte, size(shapes[cmd].uhwIn)), size(shapes[cmd].resp)+size(shapes[cmd].uhwOut)))
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	switch reflect.TypeOf(sample) {
	case reflect.TypeOf(shapes[cmd].req):
		again := reflect.New(reflect.TypeOf(sample)).Interface()
		if err := c.Decode(again); err != nil || !reflect.DeepEqual(v, again) {
			t.Errorf("%v decodes to %s, %v, want %s", cmd, text(again), err, text(v))
		}
	case reflect.TypeOf(shapes[cmd].resp):
		if got := c.Response(v, nil)[:len(raw)]; !bytes.Equal(got, raw) {
			t.Errorf("%v answers %x, want %x", cmd, got, raw)
		}
	default:
		if got := c.Response(nil, v)[c.CoreOut:]; !bytes.Equal(got, raw) {
			t.Errorf("%v answers driver data %x, want %x", cmd, got, raw)
		}
	}
	return v
}

func commandNamed(t *testing.T, name string) Cmd {
	for c, m := range methods {
		if m.name == name {
			return c
		}
	}
	t.Fatalf("no command %s", name)
	return 0
}

func TestParseCommandErrors(t *testing.T) {
	alloc := func(change func(b []byte) []byte) []byte { return change(writeOf(CmdAllocPD)) }
	ex := func(change func(b []byte) []byte) []byte { return change(writeOf(CmdExCreateCQ)) }
	put16 := func(b []byte, at int, v uint16) []byte { binary.LittleEndian.PutUint16(b[at:], v); return b }
	tests := []struct {
		name string
		b    []byte
		want error
	}{
		{"empty", nil, syscall.EINVAL},
		{"half a header", alloc(func(b []byte) []byte { return b[:7] }), syscall.EINVAL},
		{"reserved command bits", alloc(func(b []byte) []byte { b[1] = 1; return b }), syscall.EINVAL},
		{"unknown legacy command", legacyWrite(200, make([]byte, 8), nil, 8), syscall.EOPNOTSUPP},
		{"unknown extended command", extendedWrite(FlagExtended|50, make([]byte, 8), nil, 8, 0), syscall.EOPNOTSUPP},
		{"in_words too many", alloc(func(b []byte) []byte { return put16(b, 4, 5) }), syscall.EINVAL},
		{"in_words too few", alloc(func(b []byte) []byte { return put16(b, 4, 1) }), syscall.EINVAL},
		{"in_words none", alloc(func(b []byte) []byte { return put16(b, 4, 0) }), syscall.EINVAL},
		{"short request", legacyWrite(CmdRegMR, make([]byte, 32), nil, 12), syscall.ENOSPC},
		{"short response", legacyWrite(CmdRegMR, make([]byte, 40), nil, 8), syscall.ENOSPC},
		{"huge response", alloc(func(b []byte) []byte { return put16(b, 6, 0xffff) }), syscall.EINVAL},
		{"extended without its header", ex(func(b []byte) []byte { return b[:20] }), syscall.EINVAL},
		{"extended in_words", ex(func(b []byte) []byte { return put16(b, 4, 3) }), syscall.EINVAL},
		{"extended reserved", ex(func(b []byte) []byte { b[20] = 1; return b }), syscall.EINVAL},
		{"extended short request", extendedWrite(CmdExCreateCQ, make([]byte, 24), nil, 16, 16), syscall.ENOSPC},
		{"extended short response", extendedWrite(CmdExCreateCQ, make([]byte, 32), nil, 8, 16), syscall.ENOSPC},
		{"extended response nowhere", ex(func(b []byte) []byte { clear(b[8:16]); return b }), syscall.EINVAL},
		{"extended no response asked for", extendedWrite(CmdExModifyQP, make([]byte, 120), nil, 0, 0), nil},
	}
	for _, tt := range tests {
		if _, err := ParseCommand(tt.b); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// TestExtendedLengths: an extended request may be older or newer than the struct here.
func TestExtendedLengths(t *testing.T) {
	full := make([]byte, 64)
	for i := range full {
		full[i] = byte(i + 1)
	}
	var q ExCreateQP
	c := mustParse(t, extendedWrite(CmdExCreateQP, full[:56], nil, 40, 32))
	if err := c.Decode(&q); err != nil || q.CreateFlags != 0x38373635 || q.SourceQPN != 0 {
		t.Errorf("older request: %v, %+v", err, q)
	}
	c = mustParse(t, extendedWrite(CmdExCreateQP, append(slices.Clone(full), make([]byte, 8)...), nil, 40, 32))
	if err := c.Decode(&q); err != nil || q.SourceQPN != 0x403f3e3d {
		t.Errorf("newer request, zero: %v, %+v", err, q)
	}
	c = mustParse(t, extendedWrite(CmdExCreateQP, append(slices.Clone(full), 0, 0, 0, 0, 0, 0, 0, 1), nil, 40, 32))
	if err := c.Decode(&q); !errors.Is(err, syscall.EOPNOTSUPP) {
		t.Errorf("newer request, not zero: %v, want EOPNOTSUPP", err)
	}
}

// TestResponseFits: a response is cut to the program's room, driver data keep their place, and the rest is zero.
func TestResponseFits(t *testing.T) {
	core := ExQueryDeviceResp{ResponseLength: 7, MaxDMSize: 1}
	c := mustParse(t, extendedWrite(CmdExQueryDevice, make([]byte, 8), nil, exQueryDeviceMin, 0))
	if got := c.ResponseLength(core); got != exQueryDeviceMin {
		t.Errorf("response_length %d, want %d", got, exQueryDeviceMin)
	}
	if got := c.Response(core, nil); len(got) != exQueryDeviceMin || got[exQueryDeviceMin-4] != 7 {
		t.Errorf("response is %d bytes: %x", len(got), got)
	}
	c = mustParse(t, extendedWrite(CmdExCreateCQ, make([]byte, 32), nil, 24, 32))
	got := c.Response(ExCreateCQResp{Base: CreateCQResp{CQHandle: 1, CQE: 2}, ResponseLength: 16}, MMInfo{Offset: 0x1000, Size: 3})
	want := "0100000002000000000000001000000000000000000000000010000000000000030000000000000000000000000000000000000000000000"
	if hex.EncodeToString(got) != want {
		t.Errorf("response\n%x, want\n%s", got, want)
	}
	c = mustParse(t, legacyWrite(CmdCreateQP, make([]byte, 56), nil, 64))
	got = c.Response(CreateQPResp{QPHandle: 9}, QPRings{RQ: MMInfo{Offset: 1, Size: 2}, SQ: MMInfo{Offset: 3, Size: 4}})
	want = "0900000000000000000000000000000000000000000000000000000000000000" +
		"0100000000000000020000000000000003000000000000000400000000000000"
	if hex.EncodeToString(got) != want {
		t.Errorf("response\n%x, want\n%s", got, want)
	}
}

func mustParse(t *testing.T, b []byte) Command {
	t.Helper()
	c, err := ParseCommand(b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestEncodeDecode: every struct encodes without a panic, and what is decoded encodes to the same but for reserved bytes.
func TestEncodeDecode(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, sample := range structs {
		b := make([]byte, size(sample))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		v, err := decoded(b, sample)
		if err != nil {
			t.Fatalf("%T: %v", sample, err)
		}
		once := Encode(v)
		again, err := decoded(once, sample)
		if err != nil || !reflect.DeepEqual(v, again) {
			t.Errorf("%T does not survive encoding: %s, then %s", sample, text(v), text(again))
		}
	}
}

// FuzzCommand: no bytes make parsing, any decoder or any response panic, and lengths always add up.
func FuzzCommand(f *testing.F) {
	for c := range shapes {
		f.Add(writeOf(c))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCommand(b)
		if err != nil {
			return
		}
		s, ok := shapes[c.Cmd]
		if !ok {
			t.Fatalf("%v is served without a shape", c.Cmd)
		}
		if len(c.Core)+len(c.UHW)+cmdHdrSize > len(b) || c.CoreOut < 0 || c.UHWOut < 0 || c.CoreOut+c.UHWOut > maxOut {
			t.Fatalf("%v: lengths %d %d %d %d of %d", c.Cmd, len(c.Core), len(c.UHW), c.CoreOut, c.UHWOut, len(b))
		}
		req := reflect.New(reflect.TypeOf(s.req)).Interface()
		if err := c.Decode(req); err != nil && !errors.Is(err, syscall.EOPNOTSUPP) {
			t.Fatalf("%v: %v", c.Cmd, err)
		}
		if s.uhwIn != nil {
			err := c.DecodeUHW(reflect.New(reflect.TypeOf(s.uhwIn)).Interface())
			if len(c.UHW) >= size(s.uhwIn) && err != nil && !errors.Is(err, syscall.EOPNOTSUPP) {
				t.Fatalf("%v: %v", c.Cmd, err)
			}
		}
		if got := c.Response(s.resp, s.uhwOut); len(got) != c.CoreOut+c.UHWOut {
			t.Fatalf("%v: response of %d bytes, room for %d", c.Cmd, len(got), c.CoreOut+c.UHWOut)
		}
	})
}
