package fdconn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
)

// ABIVersion is the version of docs/abi.md that is spoken here.
const ABIVersion = 1

// MaxMessage is the longest datagram, headers included.
const MaxMessage = 128 << 10

const headerSize = 16 // of requests and of replies

// Op is what a request asks for.
type Op uint32

// The operations of docs/abi.md.
const (
	OpOpen      Op = 1
	OpJoin      Op = 2
	OpCommand   Op = 3
	OpMemAlloc  Op = 4
	OpMemFree   Op = 5
	OpUnshare   Op = 6
	OpDoorbell  Op = 7
	OpOpenCM    Op = 8
	OpCMCommand Op = 9
)

// String gives the documentation's name.
func (o Op) String() string {
	names := [...]string{"", "OPEN", "JOIN", "COMMAND", "MEM_ALLOC", "MEM_FREE", "UNSHARE", "DOORBELL", "OPEN_CM", "CM_COMMAND"}
	if o == 0 || int64(o) >= int64(len(names)) {
		return fmt.Sprintf("op %d", uint32(o))
	}
	return names[o]
}

// ErrMalformed says that bytes are no message of this ABI.
var ErrMalformed = errors.New("malformed message")

// Request is a datagram from the library.
//
//	0  u32 op   4  u32 length of the body   8  u64 seq   16  body
type Request struct {
	Op   Op
	Seq  uint64
	Body []byte
}

// ParseRequest splits a datagram; Body aliases b.
func ParseRequest(b []byte) (Request, error) {
	if len(b) < headerSize || len(b) > MaxMessage || uint64(binary.LittleEndian.Uint32(b[4:])) != uint64(len(b)-headerSize) {
		return Request{}, ErrMalformed
	}
	return Request{
		Op:   Op(binary.LittleEndian.Uint32(b)),
		Seq:  binary.LittleEndian.Uint64(b[8:]),
		Body: b[headerSize:],
	}, nil
}

// AppendReply appends to b the whole datagram that answers q.
//
//	0  u32 op   4  u32 length of the body   8  s32 error   12  u32 seq, low half   16  body
func (q Request) AppendReply(b []byte, errno syscall.Errno, body []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(q.Op))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
	b = binary.LittleEndian.AppendUint32(b, uint32(errno))
	b = binary.LittleEndian.AppendUint32(b, uint32(q.Seq))
	return append(b, body...)
}

// Token is a context's secret.
type Token [16]byte

// Open is the body of OPEN.
type Open struct {
	Version, Flags uint32
}

// ParseOpen reads the body of OPEN.
func ParseOpen(b []byte) (Open, error) {
	if len(b) != 8 {
		return Open{}, ErrMalformed
	}
	return Open{Version: binary.LittleEndian.Uint32(b), Flags: binary.LittleEndian.Uint32(b[4:])}, nil
}

// Join is the body of JOIN.
type Join struct {
	Open
	ContextID uint64
	Token     Token
}

// ParseJoin reads the body of JOIN.
func ParseJoin(b []byte) (Join, error) {
	if len(b) != 32 {
		return Join{}, ErrMalformed
	}
	j := Join{ContextID: binary.LittleEndian.Uint64(b[8:])}
	j.Version, j.Flags = binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	copy(j.Token[:], b[16:])
	return j, nil
}

// Opened is the answer to OPEN and JOIN.
type Opened struct {
	NWorkers     uint32
	ContextID    uint64
	Token        Token
	RingsDev     uint64
	RingsIno     uint64
	DoorbellSize uint64
	WorkerOfCPU  []uint8
}

// Append appends the answer's body to b.
func (o *Opened) Append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, ABIVersion)
	b = binary.LittleEndian.AppendUint32(b, o.NWorkers)
	b = binary.LittleEndian.AppendUint64(b, o.ContextID)
	b = append(b, o.Token[:]...)
	b = binary.LittleEndian.AppendUint64(b, o.RingsDev)
	b = binary.LittleEndian.AppendUint64(b, o.RingsIno)
	b = binary.LittleEndian.AppendUint64(b, o.DoorbellSize)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(o.WorkerOfCPU)))
	b = binary.LittleEndian.AppendUint32(b, 0)
	return append(b, o.WorkerOfCPU...)
}

// Command is the body of COMMAND.
//
//	0  u64 aux   8  u32 cmd_len   12  u32 nextents   16  command, padded to 8 bytes   then extents
type Command struct {
	Aux     uint64
	Cmd     []byte
	Extents Extents
}

// Extents is the list of pieces of the memory file in a COMMAND: va, length and offset of each.
type Extents []byte

const extentSize = 24

// Len is the number of extents.
func (e Extents) Len() int { return len(e) / extentSize }

// At gives the extent i, which is below Len.
func (e Extents) At(i int) (va, length, offset uint64) {
	b := e[i*extentSize:]
	return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])
}

// ParseCommand reads the body of COMMAND; the result aliases b.
func ParseCommand(b []byte) (Command, error) {
	if len(b) < 16 {
		return Command{}, ErrMalformed
	}
	length, extents := uint64(binary.LittleEndian.Uint32(b[8:])), uint64(binary.LittleEndian.Uint32(b[12:]))
	padded := (length + 7) &^ 7
	if uint64(len(b)) != 16+padded+extents*extentSize {
		return Command{}, ErrMalformed
	}
	return Command{
		Aux:     binary.LittleEndian.Uint64(b),
		Cmd:     b[16 : 16+length],
		Extents: Extents(b[16+padded:]),
	}, nil
}

// ParseMemAlloc reads the body of MEM_ALLOC.
func ParseMemAlloc(b []byte) (length uint64, err error) {
	if len(b) != 8 {
		return 0, ErrMalformed
	}
	return binary.LittleEndian.Uint64(b), nil
}

// AppendMemAlloced appends the body of MEM_ALLOC's reply to b.
func AppendMemAlloced(b []byte, offset uint64) []byte {
	return binary.LittleEndian.AppendUint64(b, offset)
}

// ParseSpan reads the body of MEM_FREE (offset, length) and of UNSHARE (va, length).
func ParseSpan(b []byte) (start, length uint64, err error) {
	if len(b) != 16 {
		return 0, 0, ErrMalformed
	}
	return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), nil
}

// ParseDoorbell reads the body of DOORBELL.
func ParseDoorbell(b []byte) (qp uint32, err error) {
	if len(b) != 8 {
		return 0, ErrMalformed
	}
	return binary.LittleEndian.Uint32(b), nil
}
