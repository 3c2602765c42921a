package cm

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

var rewrite = flag.Bool("rewrite", false, "write what the traces in testdata do into them")

// TestTraces runs the scripts in testdata. A script has two machines, a and b, a millisecond apart. The lines that begin with ">" are
// the messages and events, in milliseconds from the beginning, and after each run the connections that there are; -rewrite writes
// them anew. IDs are a1, a2, b1: the side and the count.
//
//	connect SIDE KEY=VALUE...     service, qpn, psn, ack, rtime, ltime, retries, mtu, type, private
//	reply ID KEY=VALUE...         qpn, psn, delay, private
//	ready|disconnect|established|destroy ID [private]
//	extend ID TIMEOUT [later]
//	reject ID reason= [private=]
//	resolve SIDE service= [private=]
//	replysidr ID status= qpn= qkey= [private=]
//	inject SIDE MESSAGE local= remote= [qpn=] [service=] [psn=] [reason=] [msg=] [mtu=] [type=] [alt=] [tid=]
//	                [party=] [src=] [dst=]
//	                              a message that the side receives, of the peer's unless told otherwise
//	drop|double|late SIDE N...    the N-th message that the side sends from now on; late ones arrive 50 ms later
//	foreign SIDE                  to the side its peer is no router
//	run DURATION
func TestTraces(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) < 20 {
		t.Fatalf("%d traces in testdata", len(files))
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(want, []byte("# ")) {
				t.Error("does not begin with what it shows")
			}
			got := play(t, want)
			if *rewrite {
				if err := os.WriteFile(f, got, 0o644); err != nil {
					t.Fatal(err)
				}
			} else if !bytes.Equal(got, want) {
				t.Errorf("%s happens otherwise:\n%s", f, got)
			}
		})
	}
}

// script is a trace that is being played.
type script struct {
	*world
	out   bytes.Buffer
	sent  [2]int
	fates [2]map[int]string
}

func play(t *testing.T, in []byte) []byte {
	s := &script{world: newWorld(t), fates: [2]map[int]string{{}, {}}}
	s.world.fate = func(from int, _ wire.MAD) (int, int64, string) {
		s.sent[from]++
		switch f := s.fates[from][s.sent[from]]; f {
		case "drop":
			return 0, 0, "lost"
		case "double":
			return 2, 0, "twice"
		case "late":
			return 1, 50_000_000, "late"
		}
		return 1, 0, ""
	}
	s.world.trace = func(from int, r Route, mad wire.MAD, fate string) {
		to := string(rune('a' + 1 - from))
		if r.Dst != gids[1-from] {
			to = "?"
		}
		s.say("%c → %s  %s", 'a'+from, to, strings.TrimSpace(describe(mad)+" "+fate))
	}
	s.world.event = func(side int, ev *Event) { s.say("%-5s  %s", idName(uint32(ev.ID)), eventText(ev)) }
	for line := range bytes.Lines(in) {
		if bytes.HasPrefix(line, []byte(">")) {
			continue
		}
		s.out.Write(line)
		if f := strings.Fields(string(line)); len(f) > 0 && f[0] != "#" {
			s.do(f[0], f[1:])
		}
		for _, m := range s.m {
			if err := m.check(); err != nil {
				t.Errorf("after %q: %v", line, err)
			}
		}
	}
	return s.out.Bytes()
}

func (s *script) say(format string, a ...any) {
	fmt.Fprintf(&s.out, "> %10.3f  %s\n", float64(s.now)/1e6, fmt.Sprintf(format, a...))
}

func idName(id uint32) string {
	if id>>24 != 0xa0 && id>>24 != 0xb0 {
		return strconv.Itoa(int(id))
	}
	return fmt.Sprintf("%x%d", id>>28, id&0xffffff)
}

func parseID(x string) ID {
	base := map[byte]uint32{'a': 0xa0000000, 'b': 0xb0000000}[x[0]]
	if base != 0 {
		x = x[1:]
	}
	n, err := strconv.Atoi(x)
	if err != nil {
		panic(err)
	}
	return ID(base + uint32(n))
}

func (s *script) do(cmd string, f []string) {
	switch cmd {
	case "run":
		d, err := time.ParseDuration(f[0])
		if err != nil {
			s.Fatal(err)
		}
		s.run(int64(d))
		s.states()
		return
	case "foreign":
		s.m[sideOf(f[0])].conf.Foreign = func(Route) bool { return true }
		return
	case "drop", "double", "late":
		for _, n := range f[1:] {
			i, _ := strconv.Atoi(n)
			s.fates[sideOf(f[0])][s.sent[sideOf(f[0])]+i] = cmd
		}
		return
	case "inject":
		s.inject(sideOf(f[0]), f[1], values(f[2:]))
		return
	}
	if err := s.call(cmd, f); err != nil {
		s.say("error  %v", err)
	}
}

func (s *script) call(cmd string, f []string) error {
	m, k, id := s.m[sideOf(f[0])], values(f[1:]), ID(0)
	if len(f[0]) > 1 {
		id = parseID(f[0])
	}
	private := []byte(k["private"])
	switch cmd {
	case "connect":
		if m.Connect(s.now, toPeer(sideOf(f[0])), reqFrom(k)) == 0 {
			s.say("refused")
		}
	case "reply":
		return m.Reply(s.now, id, &Rep{QPN: uint32(number(k, "qpn", 0x22)), StartPSN: uint32(number(k, "psn", 0x200)),
			TargetAckDelay: uint8(number(k, "delay", 15)), Private: private})
	case "ready":
		return m.Ready(s.now, id, private)
	case "extend":
		t, _ := strconv.Atoi(f[1])
		if len(f) > 2 {
			t |= int(Later)
		}
		return m.Extend(s.now, id, uint8(t))
	case "reject":
		return m.Reject(s.now, id, &Rej{Reason: uint16(number(k, "reason", 28)), Private: private})
	case "disconnect":
		return m.Disconnect(s.now, id)
	case "established":
		return m.Established(s.now, id)
	case "destroy":
		m.Destroy(s.now, id)
	case "resolve":
		m.Resolve(s.now, toPeer(sideOf(f[0])), &SIDRReq{ServiceID: uint64(number(k, "service", 0)), Private: private})
	case "replysidr":
		return m.ReplySIDR(s.now, id, &SIDRRep{Status: uint8(number(k, "status", 0)), QPN: uint32(number(k, "qpn", 0)),
			QKey: uint32(number(k, "qkey", 0)), Private: private})
	default:
		s.Fatalf("unknown command %q", cmd)
	}
	return nil
}

func reqFrom(k map[string]string) *Req {
	return &Req{ServiceID: uint64(number(k, "service", 0x01061d2f)), QPN: uint32(number(k, "qpn", 0x11)), StartPSN: uint32(number(k, "psn", 0x100)),
		QPType: QPType(number(k, "type", 0)), PathMTU: uint8(number(k, "mtu", 5)), LocalAckTimeout: uint8(number(k, "ack", 19)),
		RemoteResponseTimeout: uint8(number(k, "rtime", 20)), LocalResponseTimeout: uint8(number(k, "ltime", 20)),
		MaxCMRetries: uint8(number(k, "retries", 15)), Private: []byte(k["private"])}
}

// inject makes a message that no machine sent.
func (s *script) inject(to int, name string, k map[string]string) {
	r := toPeer(to)
	r.Local = Party(number(k, "party", int(r.Local)))
	if k["src"] != "" {
		r.Src[15] = byte(number(k, "src", 0))
	}
	if k["dst"] != "" {
		r.Dst[15] = byte(number(k, "dst", 0))
	}
	ids := wire.CMIDs{}
	if k["local"] != "" {
		ids.Local = uint32(parseID(k["local"]))
	}
	if k["remote"] != "" {
		ids.Remote = uint32(parseID(k["remote"]))
	}
	qpn, msg := uint32(number(k, "qpn", 0x11)), wire.CMMessage(number(k, "msg", 0))
	alternate := wire.CMPath{LocalLID: uint16(number(k, "alt", 0))}
	f := map[string]message{
		"REQ": &wire.CMReq{LocalCommID: ids.Local, ServiceID: uint64(number(k, "service", 0x01061d2f)), LocalQPN: qpn,
			StartingPSN: uint32(number(k, "psn", 0x100)), TransportService: uint8(number(k, "type", 0)), PathMTU: uint8(number(k, "mtu", 5)),
			LocalRespTimeout: 20, MaxCMRetries: 15, Primary: wire.CMPath{LocalGID: r.Dst, RemoteGID: r.Src, LocalAckTimeout: 19},
			Alternate: alternate},
		"MRA":  &wire.CMMRA{CMIDs: ids, Message: msg, ServiceTimeout: 31},
		"REJ":  &wire.CMRej{CMIDs: ids, Message: msg, Reason: uint16(number(k, "reason", 28))},
		"REP":  &wire.CMRep{CMIDs: ids, LocalQPN: qpn},
		"RTU":  &wire.CMRTU{CMIDs: ids},
		"DREQ": &wire.CMDReq{CMIDs: ids, RemoteQPN: qpn}, "DREP": &wire.CMDRep{CMIDs: ids},
		"SIDR_REQ": &wire.CMSIDRReq{RequestID: ids.Local}, "SIDR_REP": &wire.CMSIDRRep{RequestID: ids.Remote},
		"LAP": &wire.CMLap{CMIDs: ids}, "APR": &wire.CMApr{CMIDs: ids},
	}[name]
	a := wire.AttrConnectRequest + wire.Attribute(slices.Index(MessageNames[:], name))
	s.m[to].Receive(s.now, r, compose(a, uint64(number(k, "tid", 1)), f))
}

func (s *script) states() {
	for _, m := range s.m {
		var all []*conn
		for _, c := range m.conns {
			all = append(all, c)
		}
		slices.SortFunc(all, func(x, y *conn) int { return int(x.id) - int(y.id) })
		for _, c := range all {
			x := ""
			if c.memory {
				x += ", a memory"
			} else if c.orphan {
				x += ", an orphan"
			}
			s.say("%-5s  is in %v%s", idName(uint32(c.id)), c.state, x)
		}
		if n := &m.counters; n.Malformed+n.Unknown+n.Forged+n.Unexpected+n.Limited > 0 {
			s.say("%-5s  malformed %d, unknown %d, forged %d, unexpected %d, limited %d", string(rune('a'+n.side(s.world))), n.Malformed, n.Unknown, n.Forged, n.Unexpected, n.Limited)
		}
	}
}

func (n *Counters) side(w *world) int {
	if n == &w.m[0].counters {
		return 0
	}
	return 1
}

func sideOf(x string) int { return int(x[0] - 'a') }

func values(f []string) map[string]string {
	m := map[string]string{}
	for _, x := range f {
		if k, v, ok := strings.Cut(x, "="); ok {
			m[k] = v
		}
	}
	return m
}

func number(m map[string]string, k string, none int) int {
	if m[k] == "" {
		return none
	}
	n, err := strconv.ParseInt(m[k], 0, 64)
	if err != nil {
		panic(err)
	}
	return int(n)
}

// text is private data without what fills it up.
func text(b []byte) string {
	if b = bytes.TrimRight(b, "\x00"); len(b) == 0 {
		return ""
	}
	return fmt.Sprintf(" %q", b)
}

func describe(x wire.MAD) string {
	name := MessageNames[messageIndex(x.Attribute())]
	ids := fmt.Sprintf("%s %s", idName(x.LocalCommID()), idName(x.RemoteCommID()))
	switch x.Attribute() {
	case wire.AttrConnectRequest:
		var q wire.CMReq
		q.Parse(x)
		return fmt.Sprintf("%-8s %s  service %#x qpn %#x%s", name, idName(q.LocalCommID), q.ServiceID, q.LocalQPN, text(q.Private))
	case wire.AttrMsgRcptAck:
		var a wire.CMMRA
		a.Parse(x)
		return fmt.Sprintf("%-8s %s  of %s, %d", name, ids, messageName(rejectedMessages[a.Message]), a.ServiceTimeout)
	case wire.AttrConnectReject:
		var j wire.CMRej
		_ = j.Parse(x)
		return fmt.Sprintf("%-8s %s  of %s, reason %d%s", name, ids, messageName(rejectedMessages[j.Message]), j.Reason, text(j.Private))
	case wire.AttrConnectReply:
		var p wire.CMRep
		p.Parse(x)
		failover := ""
		if p.FailoverAccepted != 0 {
			failover = fmt.Sprintf(" failover %d", p.FailoverAccepted)
		}
		return fmt.Sprintf("%-8s %s  qpn %#x%s%s", name, ids, p.LocalQPN, failover, text(p.Private))
	case wire.AttrDisconnectRequest:
		var q wire.CMDReq
		q.Parse(x)
		return fmt.Sprintf("%-8s %s  qpn %#x", name, ids, q.RemoteQPN)
	case wire.AttrServiceIDResReq:
		return fmt.Sprintf("%-8s %s", name, idName(x.LocalCommID()))
	case wire.AttrServiceIDResReqResp:
		var p wire.CMSIDRRep
		_ = p.Parse(x)
		return fmt.Sprintf("%-8s %s  status %d qpn %#x", name, idName(p.RequestID), p.Status, p.QPN)
	case wire.AttrAlternatePathResp:
		var r wire.CMApr
		_ = r.Parse(x)
		return fmt.Sprintf("%-8s %s  status %d", name, ids, r.Status)
	}
	return fmt.Sprintf("%-8s %s", name, ids)
}

func messageName(a wire.Attribute) string {
	if a == 0 {
		return "other"
	}
	return MessageNames[messageIndex(a)]
}

var kindNames = map[Kind]string{Requested: "Requested", Replied: "Replied", Established: "Established", Rejected: "Rejected",
	Unreachable: "Unreachable", DisconnectRequested: "DisconnectRequested", Disconnected: "Disconnected", TimewaitExit: "TimewaitExit",
	SIDRRequested: "SIDRRequested", SIDRReplied: "SIDRReplied"}

func eventText(ev *Event) string {
	x := kindNames[ev.Kind]
	switch {
	case ev.Req != nil:
		x += fmt.Sprintf(" service %#x qpn %#x psn %#x%s", ev.Req.ServiceID, ev.Req.QPN, ev.Req.StartPSN, text(ev.Req.Private))
	case ev.Rep != nil:
		x += fmt.Sprintf(" qpn %#x psn %#x%s", ev.Rep.QPN, ev.Rep.StartPSN, text(ev.Rep.Private))
	case ev.Rej != nil:
		x += fmt.Sprintf(" reason %d%s", ev.Rej.Reason, text(ev.Rej.Private))
	case ev.SIDRReq != nil:
		x += fmt.Sprintf(" service %#x%s", ev.SIDRReq.ServiceID, text(ev.SIDRReq.Private))
	case ev.SIDRRep != nil:
		x += fmt.Sprintf(" status %d qpn %#x qkey %#x%s", ev.SIDRRep.Status, ev.SIDRRep.QPN, ev.SIDRRep.QKey, text(ev.SIDRRep.Private))
	}
	if ev.Msg != 0 {
		x += ", " + messageName(ev.Msg)
	}
	return x + text(ev.Private)
}
