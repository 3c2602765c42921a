package pcap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// The file format (IETF draft-ietf-opsawg-pcap): a header of 24 bytes, then records of a header of 16 bytes and a frame. All
// numbers are little-endian here.
const (
	magicNano    = 0xa1b23c4d // times in nanoseconds
	linkEthernet = 1
	fileHeader   = 24
	recordHeader = 16
	snapLength   = 65535 // more than any frame has; a reader trusts it to bound records
)

// Record is one frame of a capture.
type Record struct {
	At     time.Time
	Frame  []byte
	Length int // that the frame had before it was cut
}

// Writer writes a capture.
type Writer struct {
	w io.Writer
	b [recordHeader]byte
}

// NewWriter begins a capture on w. It writes in small pieces: give it a buffer.
func NewWriter(w io.Writer) (*Writer, error) {
	var b [fileHeader]byte
	le := binary.LittleEndian
	le.PutUint32(b[0:], magicNano)
	le.PutUint16(b[4:], 2) // version 2.4
	le.PutUint16(b[6:], 4)
	le.PutUint32(b[16:], snapLength)
	le.PutUint32(b[20:], linkEthernet)
	if _, err := w.Write(b[:]); err != nil {
		return nil, fmt.Errorf("write capture: %w", err)
	}
	return &Writer{w: w}, nil
}

// Write adds a frame.
func (w *Writer) Write(r Record) error {
	le := binary.LittleEndian
	le.PutUint32(w.b[0:], uint32(r.At.Unix()))
	le.PutUint32(w.b[4:], uint32(r.At.Nanosecond()))
	le.PutUint32(w.b[8:], uint32(len(r.Frame)))
	le.PutUint32(w.b[12:], uint32(r.Length))
	if _, err := w.w.Write(w.b[:]); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	if _, err := w.w.Write(r.Frame); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	return nil
}

// ErrFormat means that what is read is no capture of this package's.
var ErrFormat = errors.New("not a capture in nanosecond pcap format")

// Reader reads what a Writer wrote.
type Reader struct {
	r   io.Reader
	buf [recordHeader + snapLength]byte
}

// NewReader reads a capture's header.
func NewReader(r io.Reader) (*Reader, error) {
	var b [fileHeader]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return nil, fmt.Errorf("read capture: %w", err)
	}
	le := binary.LittleEndian
	if le.Uint32(b[:]) != magicNano || le.Uint16(b[4:]) != 2 || le.Uint32(b[20:]) != linkEthernet {
		return nil, ErrFormat
	}
	return &Reader{r: r}, nil
}

// Next reads the next frame, which is valid until the next call. io.EOF: there is none.
func (r *Reader) Next() (Record, error) {
	b := r.buf[:recordHeader]
	if _, err := io.ReadFull(r.r, b); err != nil {
		return Record{}, err // io.EOF between records
	}
	le := binary.LittleEndian
	at := time.Unix(int64(le.Uint32(b[0:])), int64(le.Uint32(b[4:])))
	n, length := le.Uint32(b[8:]), le.Uint32(b[12:])
	if n > snapLength {
		return Record{}, fmt.Errorf("read capture: a record of %d bytes: %w", n, ErrFormat)
	}
	frame := r.buf[recordHeader : recordHeader+n]
	if _, err := io.ReadFull(r.r, frame); err != nil {
		return Record{}, fmt.Errorf("read capture: %w", io.ErrUnexpectedEOF)
	}
	return Record{At: at, Frame: frame, Length: int(length)}, nil
}
