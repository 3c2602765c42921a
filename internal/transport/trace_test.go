package transport

import (
	"bufio"
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

	"github.com/freeflow-rdma/freeflow/internal/simnet"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

var rewrite = flag.Bool("rewrite", false, "write what the traces in testdata do into them")

// TestTraces runs the scripts in testdata. A script makes two queue pairs, a and b, 10 µs apart, and says what is posted and which packets the network
// spoils; the lines that begin with ">" are the packets and completions of the "run" before them. -rewrite writes them anew.
//
//	qp rc|uc|ud KEY=VALUE...      mtu (1024), psn (100, hexadecimal), timeout, retry, rnr, rnrtimer, rd, sack (0 or 1), srq (0 or 1)
//	post SIDE OP id= len= [off=] [key=ok|bad|ro] [flags=fence,solicited,inline] [imm=]
//	recv SIDE id= len=
//	drop|double|late SIDE N...    the N-th packet that the side sends from now on; late ones arrive 500 µs later
//	path SIDE up|none|gone        what the side knows of the way to the other
//	modify SIDE STATE             rts, sqd, err
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
	e     [2]*end
	buf   [2]vt.Buffer
	ro    vt.Buffer // of b: may be read only
	srq   *vt.SRQ
	asy   [2]*vt.Events
	sent  [2]int
	fate  [2]map[int]string
	begun int64
}

func play(t *testing.T, in []byte) []byte {
	s := &script{world: newWorld(t, 1, near, near)}
	s.link[0].Quality, s.link[1].Quality = simnet.Quality{Delay: 10_000}, simnet.Quality{Delay: 10_000}
	s.buf[0], s.buf[1] = s.buffers(1 << 20)
	s.ro = s.prog[1].Shared(4096, verbs.AccessRemoteRead)
	fill(s.buf[0].B, 1)
	for side := range 2 {
		s.fate[side] = map[int]string{}
		s.asy[side] = s.prog[side].Async()
		s.link[side].Drop = func([]byte) bool {
			s.sent[side]++
			s.link[side].Late, s.link[side].Double = 0, 0
			switch s.fate[side][s.sent[side]] {
			case "drop":
				return true
			case "double":
				s.link[side].Double = 1
			case "late":
				s.link[side].Late, s.link[side].LateBy = 1, 500_000
			}
			return false
		}
	}
	s.trace = s.packet
	for line := range bytes.Lines(in) {
		if bytes.HasPrefix(line, []byte(">")) {
			continue
		}
		s.out.Write(line)
		if f := strings.Fields(string(line)); len(f) > 0 && f[0] != "#" {
			s.do(f[0], f[1:])
		}
	}
	return s.out.Bytes()
}

func (s *script) say(format string, a ...any) {
	fmt.Fprintf(&s.out, "> %8.1f  %s\n", float64(s.net.Now-s.begun)/1000, fmt.Sprintf(format, a...))
}

func (s *script) packet(from int, h *wire.Header, n int, fate string) {
	info := h.Opcode.Info()
	x := fmt.Sprintf("%s  %-28s psn %06x", []string{"a → b", "b → a"}[from], strings.TrimPrefix(info.Name, "RC "), uint32(h.PSN))
	if info.HasPayload {
		x += fmt.Sprintf(" len %d", n)
	}
	if info.HasRETH {
		x += fmt.Sprintf(" of %d", h.Length)
	}
	if info.HasAETH {
		switch {
		case wire.IsRNR(h.Syndrome):
			x += fmt.Sprintf(" RNR %d", h.Syndrome&31)
		case wire.IsNAK(h.Syndrome):
			x += " NAK " + []string{"sequence", "invalid request", "remote access", "remote operation"}[h.Syndrome&3]
		case h.Syndrome&31 < 31:
			x += fmt.Sprintf(" credits %d", creditCode[h.Syndrome&31])
		}
		x += fmt.Sprintf(" msn %d", h.MSN)
	}
	if info.HasSACK {
		x += fmt.Sprintf(" sack %b", h.SACK[0])
	}
	if h.Rider.OK {
		x += fmt.Sprintf(" brings ack %06x", uint32(h.Rider.PSN))
	}
	for _, f := range []struct {
		on bool
		is string
	}{{h.AckReq, "ackreq"}, {h.Solicited, "solicited"}, {fate != "", fate}, {s.fate[from][s.sent[from]] != "" && fate == "", s.fate[from][s.sent[from]]}} {
		if f.on {
			x += " " + f.is
		}
	}
	s.say("%s", x)
}

func side(x string) int { return int(x[0] - 'a') }

func values(f []string) map[string]string {
	m := map[string]string{}
	for _, x := range f {
		k, v, _ := strings.Cut(x, "=")
		m[k] = v
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

func (s *script) do(cmd string, f []string) {
	switch cmd {
	case "qp":
		s.connect(f[0], values(f[1:]))
	case "post":
		s.post(side(f[0]), f[1], values(f[2:]))
	case "recv":
		m := values(f[1:])
		rr := vt.RR(uint64(number(m, "id", 0)), s.buf[side(f[0])].SGE(0, number(m, "len", 0)))
		if s.srq != nil && f[0] == "b" {
			s.srq.Recv(rr)
		} else {
			s.e[side(f[0])].q.Recv(rr)
		}
	case "drop", "double", "late":
		for _, n := range f[1:] {
			s.fate[side(f[0])][s.sent[side(f[0])]+number(map[string]string{"n": n}, "n", 0)] = cmd
		}
	case "path":
		e := s.e[side(f[0])]
		e.path = map[string]*Path{"up": &s.path, "none": nil, "gone": {MTU: 4096, Gone: true}}[f[1]]
		e.run()
	case "modify":
		st := map[string]verbs.State{"rts": verbs.StateRTS, "sqd": verbs.StateSQD, "err": verbs.StateError}[f[1]]
		s.e[side(f[0])].q.Modify(verbs.MaskState, verbs.QPAttr{State: st})
	case "run":
		d, err := time.ParseDuration(f[0])
		if err != nil {
			s.Fatal(err)
		}
		s.advance(int64(d))
	default:
		s.Fatalf("unknown command %q", cmd)
	}
}

func (s *script) connect(typ string, m map[string]string) {
	t := map[string]verbs.QPType{"rc": verbs.TypeRC, "uc": verbs.TypeUC}[typ]
	s.path = Path{MTU: 4096, SACK: number(m, "sack", 0) == 1}
	qa := s.prog[0].QP(t, s.cq[0], 63)
	var qb *vt.QP
	if number(m, "srq", 0) == 1 {
		s.srq = s.prog[1].SRQ(15)
		qb = s.prog[1].QPWith(verbs.QPInit{PD: s.prog[1].PD, SendCQ: s.cq[1].Handle, RecvCQ: s.cq[1].Handle, SRQ: s.srq.Handle, HasSRQ: true, Type: t,
			Cap: verbs.QPCap{MaxSendWR: 63, MaxSendSGE: 4}})
	} else {
		qb = s.prog[1].QP(t, s.cq[1], 63)
	}
	s.e = [2]*end{s.world.end(0, qa), s.world.end(1, qb)}
	psn := verbs.PSN(number(m, "psn", 0x100))
	vt.Connect(qa, qb, func(a *verbs.QPAttr) {
		a.PathMTU = map[int]uint8{256: 1, 512: 2, 1024: 3, 2048: 4, 4096: 5}[number(m, "mtu", 1024)]
		a.SQPSN, a.RQPSN = psn, psn
		a.AckTimeout, a.RetryCnt, a.RNRRetry = uint8(number(m, "timeout", 14)), uint8(number(m, "retry", 7)), uint8(number(m, "rnr", 7))
		a.MinRNRTimer = uint8(number(m, "rnrtimer", 12))
		a.MaxRdAtomic = uint8(number(m, "rd", 16))
		a.MaxDestRdAtomic = a.MaxRdAtomic
	})
}

var operations8 = map[string]verbs.Opcode{"send": verbs.OpSend, "send_imm": verbs.OpSendImm, "send_inv": verbs.OpSendInv, "write": verbs.OpRDMAWrite,
	"write_imm": verbs.OpRDMAWriteImm, "read": verbs.OpRDMARead, "add": verbs.OpAtomicFetchAdd, "cas": verbs.OpAtomicCmpAndSwp}

func (s *script) post(from int, op string, m map[string]string) {
	mine, far := s.buf[from], s.buf[1-from]
	if m["key"] == "ro" {
		far = s.ro
	}
	n, off := number(m, "len", 8), number(m, "off", 0)
	w := vt.WR(uint64(number(m, "id", 0)), operations8[op], mine.SGE(off, n))
	w.RemoteAddr, w.RKey, w.Imm = far.Addr+uint64(number(m, "roff", off)), uint32(far.RKey), uint32(number(m, "imm", 0))
	w.CompareAdd, w.Swap = uint64(number(m, "add", 1)), uint64(number(m, "swap", 0))
	switch m["key"] {
	case "bad":
		w.RKey ^= 1
	case "local":
		w.SGE[0].LKey ^= 1
	}
	for _, f := range strings.Split(m["flags"], ",") {
		w.SendFlags |= map[string]uint32{"fence": uint32(verbs.SendFence), "solicited": uint32(verbs.SendSolicited)}[f]
	}
	if strings.Contains(m["flags"], "inline") {
		s.e[from].q.PostInline(w, mine.B[off:][:n])
		return
	}
	s.e[from].q.Post(w)
}

// advance lets time pass, and tells the completions and events where they come.
func (s *script) advance(d int64) {
	s.begun = s.net.Now
	for _, e := range s.e {
		e.run()
	}
	s.completions()
	for until := s.net.Now + d; ; {
		if next, ok := s.net.Next(); !ok || next > until {
			s.net.RunUntil(until)
			break
		}
		s.net.Step()
		s.completions()
	}
	for i := range s.e {
		if st := s.e[i].qp.State(); st != verbs.StateRTS {
			s.say("%s is in %v", string(rune('a'+i)), st)
		}
	}
}

var statuses = map[verbs.WCStatus]string{verbs.WCSuccess: "success", verbs.WCLocLenErr: "local length error", verbs.WCLocQPOpErr: "local QP operation error",
	verbs.WCLocProtErr: "local protection error", verbs.WCWRFlushErr: "flushed", verbs.WCRemInvReqErr: "remote invalid request", verbs.WCRemAccessErr: "remote access error",
	verbs.WCRemOpErr: "remote operation error", verbs.WCRetryExcErr: "retries exceeded", verbs.WCRNRRetryExcErr: "RNR retries exceeded", verbs.WCMWBindErr: "bind error"}

func (s *script) completions() {
	for i := range 2 {
		for {
			e, ok := s.cq[i].PollFor(0)
			if !ok {
				break
			}
			x := ""
			if e.WCFlags != 0 {
				x = fmt.Sprintf(" flags %d imm %d", e.WCFlags, e.Imm)
			}
			s.say("%s      completes %d: %s, opcode %d, %d bytes%s", string(rune('a'+i)), e.WRID, statuses[verbs.WCStatus(e.Status)], e.Opcode, e.ByteLen, x)
		}
		for {
			_, ev, ok := s.asy[i].Next(-1)
			if !ok {
				break
			}
			name := map[verbs.AsyncEvent]string{verbs.EventQPFatal: "QP fatal", verbs.EventQPReqErr: "QP request error", verbs.EventQPAccessErr: "QP access error",
				verbs.EventSQDrained: "SQ drained", verbs.EventLastWQEReached: "last WQE reached"}[ev]
			s.say("%s      event %d %s", string(rune('a'+i)), ev, name)
		}
	}
}

// TestTraceNames: every trace says in its first line what it shows.
func TestTraceNames(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, f := range files {
		b, _ := os.ReadFile(f)
		sc := bufio.NewScanner(bytes.NewReader(b))
		if !sc.Scan() || !strings.HasPrefix(sc.Text(), "# ") {
			t.Errorf("%s does not begin with what it shows", f)
		}
	}
	if !slices.IsSorted(files) {
		t.Error("unsorted")
	}
}
