package uapi

import (
	"encoding/binary"
	"fmt"
	"syscall"
)

// Cmd is a uverbs command number as it stands in the header, FlagExtended included.
type Cmd uint32

// FlagExtended marks a command of the extended form (IB_USER_VERBS_CMD_FLAG_EXTENDED); cmdMask has the number.
const (
	FlagExtended Cmd = 0x80000000
	cmdMask      Cmd = 0xff
)

const (
	cmdHdrSize   = 8  // struct ib_uverbs_cmd_hdr
	exCmdHdrSize = 16 // struct ib_uverbs_ex_cmd_hdr, which follows it in extended commands

	// maxOut bounds the response that a program can ask for; the longest known one is below 400 bytes.
	maxOut = 4096
)

// Command is one write() to the uverbs device, split as both forms of the ABI have it:
//
//	legacy    hdr │ core request, first 8 bytes the response address │ driver data
//	extended  hdr │ response address, provider lengths │ core request │ driver data
//
//	response  core response │ driver data
type Command struct {
	Cmd     Cmd
	Core    []byte // core request, at least as long as the kernel demands of this command
	UHW     []byte // driver data of the request
	CoreOut int    // room for the core response
	UHWOut  int    // room for the driver data that follows it
}

// ParseCommand checks a command's header and lengths with the kernel's rules (uverbs_main.c, verify_hdr) and
// errors: EOPNOTSUPP for a command that is not served, EINVAL for lengths that contradict each other, ENOSPC for a
// request or a response buffer that is too short.
func ParseCommand(b []byte) (Command, error) {
	if len(b) < cmdHdrSize {
		return Command{}, syscall.EINVAL
	}
	c := Command{Cmd: Cmd(binary.LittleEndian.Uint32(b))}
	if c.Cmd&^(FlagExtended|cmdMask) != 0 {
		return c, syscall.EINVAL
	}
	m, ok := methods[c.Cmd]
	if !ok {
		return c, syscall.EOPNOTSUPP
	}
	in, out := int(binary.LittleEndian.Uint16(b[4:])), int(binary.LittleEndian.Uint16(b[6:]))
	split := c.splitLegacy
	if c.Cmd&FlagExtended != 0 {
		split = c.splitExtended
	}
	if err := split(b[cmdHdrSize:], in, out, m); err != nil {
		return Command{Cmd: c.Cmd}, err
	}
	if c.CoreOut+c.UHWOut > maxOut {
		return Command{Cmd: c.Cmd}, syscall.EINVAL
	}
	return c, nil
}

// splitLegacy splits b, what follows the header. Legacy lengths count 4-byte words, those of the request from the header on.
func (c *Command) splitLegacy(b []byte, in, out int, m method) error {
	in, out = in*4-cmdHdrSize, out*4
	if in != len(b) {
		return syscall.EINVAL
	}
	if len(b) < m.req || out < m.resp {
		return syscall.ENOSPC
	}
	c.Core, c.UHW = b[:m.req], b[m.req:]
	c.CoreOut, c.UHWOut = m.resp, out-m.resp
	return nil
}

// splitExtended splits b, what follows the header. Extended lengths count 8-byte words and no headers.
func (c *Command) splitExtended(b []byte, in, out int, m method) error {
	if len(b) < exCmdHdrSize {
		return syscall.EINVAL
	}
	in, out = in*8, out*8
	response := binary.LittleEndian.Uint64(b)
	uhwIn, uhwOut := int(binary.LittleEndian.Uint16(b[8:]))*8, int(binary.LittleEndian.Uint16(b[10:]))*8
	reserved := binary.LittleEndian.Uint32(b[12:])
	b = b[exCmdHdrSize:]
	switch {
	case in+uhwIn != len(b):
		return syscall.EINVAL
	case in < m.req:
		return syscall.ENOSPC
	case reserved != 0, (response == 0) != (out == 0 && uhwOut == 0):
		return syscall.EINVAL
	case response != 0 && out < m.resp:
		return syscall.ENOSPC
	}
	c.Core, c.UHW = b[:in], b[in:]
	c.CoreOut, c.UHWOut = out, uhwOut
	return nil
}

// Decode fills v, a pointer to one of this package's request structs, from the core request. An extended request may be shorter
// than the struct (an older program: the rest is zero) or longer (a newer one: EOPNOTSUPP unless the rest is zero).
func (c *Command) Decode(v any) error { return decode(c.Core, v) }

// DecodeUHW fills v from the driver data, which must be there in full.
func (c *Command) DecodeUHW(v any) error {
	if len(c.UHW) < binary.Size(v) {
		return syscall.EINVAL
	}
	return decode(c.UHW, v)
}

func decode(b []byte, v any) error {
	size := binary.Size(v)
	switch {
	case len(b) < size:
		b = append(make([]byte, 0, size), b...)[:size]
	case !zero(b[size:]):
		return syscall.EOPNOTSUPP
	}
	if _, err := binary.Decode(b, binary.LittleEndian, v); err != nil {
		return fmt.Errorf("decode %T: %w", v, err)
	}
	return nil
}

func zero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// ResponseLength is what an extended response's response_length says: how much of core, a response struct, the program gets.
func (c *Command) ResponseLength(core any) uint32 { return uint32(min(c.CoreOut, binary.Size(core))) }

// Response gives the whole response: core, then at its place the driver data uhw (nil for none), each cut to the room
// that the program gave, the rest zero.
func (c *Command) Response(core, uhw any) []byte {
	b := make([]byte, c.CoreOut+c.UHWOut)
	put(b[:c.CoreOut], core)
	put(b[c.CoreOut:], uhw)
	return b
}

// Encode gives the bytes of a struct that is no part of a response buffer.
func Encode(v any) []byte {
	b := make([]byte, binary.Size(v))
	put(b, v)
	return b
}

func put(b []byte, v any) {
	if v == nil {
		return
	}
	if size := binary.Size(v); size > len(b) {
		copy(b, Encode(v))
		return
	}
	if _, err := binary.Encode(b, binary.LittleEndian, v); err != nil {
		panic(fmt.Sprintf("uapi: %T has no fixed layout: %v", v, err)) // a fault in this package; its tests encode every struct
	}
}
