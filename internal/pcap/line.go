package pcap

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// Line is a record as one line of text, without its end.
func (r *Record) Line() string {
	at := r.At.Format("15:04:05.000000")
	if len(r.Frame) < etherSize {
		return fmt.Sprintf("%s a frame of %d bytes", at, r.Length)
	}
	ip := r.Frame[etherSize:]
	src, dst, ok := addresses(ip)
	if !ok {
		return fmt.Sprintf("%s EtherType %#04x, %d bytes", at, binary.BigEndian.Uint16(r.Frame[12:]), r.Length)
	}
	return fmt.Sprintf("%s %s > %s %s", at, src, dst, transport(ip))
}

// transport tells what an IP packet holds.
func transport(packet []byte) string {
	_, rest, err := wire.ParseIPv4(packet)
	if len(packet) > 0 && packet[0]>>4 == 6 {
		_, rest, err = wire.ParseIPv6(packet)
	}
	if err != nil {
		return err.Error()
	}
	udp, rest, err := wire.ParseUDP(rest)
	switch {
	case err != nil:
		return err.Error()
	case udp.DstPort() != wire.PortRoCE || len(rest) < wire.ICRCSize:
		return fmt.Sprintf("UDP port %d, %d bytes", udp.DstPort(), len(rest))
	}
	var h wire.Header
	payload, err := wire.Parse(rest[:len(rest)-wire.ICRCSize], &h)
	if err != nil {
		return err.Error()
	}
	return describe(&h, len(payload))
}

// describe tells the fields that the packet has.
func describe(h *wire.Header, payload int) string {
	info := h.Opcode.Info()
	var b strings.Builder
	fmt.Fprintf(&b, "%s qp %#06x psn %d", info.Name, h.DestQP, h.PSN)
	if info.HasDETH {
		fmt.Fprintf(&b, " from %#06x qkey %#x", h.SrcQP, h.QKey)
	}
	if info.HasRETH {
		fmt.Fprintf(&b, " va %#x rkey %#x of %d", h.VA, h.RKey, h.Length)
	}
	if info.HasAtomicETH {
		fmt.Fprintf(&b, " va %#x rkey %#x swap or add %#x compare %#x", h.VA, h.RKey, h.SwapAdd, h.Compare)
	}
	if info.HasAETH {
		fmt.Fprintf(&b, " %s msn %d", syndrome(h.Syndrome), h.MSN)
	}
	if info.HasAtomicAck {
		fmt.Fprintf(&b, " was %#x", h.AtomicAck)
	}
	if info.HasImm {
		fmt.Fprintf(&b, " imm %#x", wire.ImmValue(h.Imm))
	}
	if info.HasIETH {
		fmt.Fprintf(&b, " invalidates %#x", h.InvRKey)
	}
	if info.HasPayload {
		fmt.Fprintf(&b, " len %d", payload)
	}
	for _, f := range []struct {
		set  bool
		name string
	}{{h.AckReq, " ackreq"}, {h.Solicited, " solicited"}, {h.FECN, " fecn"}, {h.BECN, " becn"}} {
		if f.set {
			b.WriteString(f.name)
		}
	}
	return b.String()
}

func syndrome(s uint8) string {
	switch {
	case wire.IsAck(s):
		return "ack"
	case wire.IsRNR(s):
		return fmt.Sprintf("rnr %d", s&0x1f)
	case s == wire.SyndromeNAKSequence:
		return "nak sequence"
	case s == wire.SyndromeNAKInvalid:
		return "nak invalid request"
	case s == wire.SyndromeNAKAccess:
		return "nak access"
	case s == wire.SyndromeNAKOp:
		return "nak operation"
	}
	return fmt.Sprintf("syndrome %#02x", s)
}
