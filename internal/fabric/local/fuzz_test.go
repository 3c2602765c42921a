package local

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/ring"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

const page = 4096

// guarded is a registered page between two that are not, all shared with the router.
type guarded struct {
	vt.Buffer
	all []byte
}

func guard(p *vt.Program, access verbs.Access) guarded {
	all, ext := p.MapShared(3 * page)
	for i := range all {
		all[i] = 0xa5
	}
	return guarded{p.Register(all[page:2*page], access, 0, ext), all}
}

// intact reports whether the pages beside the registered one are as they were.
func (g *guarded) intact() bool {
	want := bytes.Repeat([]byte{0xa5}, page)
	return bytes.Equal(g.all[:page], want) && bytes.Equal(g.all[2*page:], want)
}

// hostile is a program that writes what it likes into its queues, and a victim in another container that it is connected to.
//
//	attacker  rc ──── victim rc         mine: the attacker's registered page
//	          uc ──── attacker uc2      open: a page of the victim's that the connection may write
//	          ud ───▶ victim ud         secret: a page of the victim's in another domain, with every right
type hostile struct {
	a, v             *vt.Program
	cq, vcq          *vt.CQ
	srq              *vt.SRQ
	rc, uc, uc2, ud  *vt.QP
	vrc, vud         *vt.QP
	mine, open       guarded
	secret           guarded
	mw               verbs.MWInfo
	ah               uint32
	secretWas        []byte
	healthy1, health *vt.QP // a pair of the victim's own that must go on
}

func newHostile(t testing.TB) *hostile {
	nic := vt.New(t, Carrier{})
	h := &hostile{a: nic.Program(t), v: nic.Program(t)}
	h.cq, h.vcq = h.a.CQ(31), h.v.CQ(1023)
	h.mine, h.open = guard(h.a, vt.AllAccess), guard(h.v, vt.AllAccess)
	other, err := h.v.AllocPD()
	if err != nil {
		t.Fatal(err)
	}
	h.v.PD, other = other, h.v.PD
	h.secret = guard(h.v, vt.AllAccess)
	h.v.PD = other
	fill(h.secret.B, 1)
	h.secretWas = bytes.Clone(h.secret.B)
	h.srq = h.a.SRQ(15)
	cap := verbs.QPCap{MaxSendWR: 15, MaxRecvWR: 15, MaxSendSGE: 4, MaxRecvSGE: 4, MaxInline: 64}
	h.rc = h.a.QPWith(verbs.QPInit{PD: h.a.PD, SendCQ: h.cq.Handle, RecvCQ: h.cq.Handle, SRQ: h.srq.Handle, HasSRQ: true, Type: verbs.TypeRC, Cap: cap})
	h.uc, h.uc2, h.ud = h.a.QP(verbs.TypeUC, h.cq, 15), h.a.QP(verbs.TypeUC, h.cq, 15), h.a.QP(verbs.TypeUD, h.cq, 15)
	h.vrc, h.vud = h.v.QP(verbs.TypeRC, h.vcq, 15), h.v.QP(verbs.TypeUD, h.vcq, 15)
	h.healthy1, h.health = h.v.QP(verbs.TypeRC, h.vcq, 15), h.v.QP(verbs.TypeRC, h.vcq, 15)
	vt.Connect(h.healthy1, h.health, nil)
	h.vud.Ready(nil, nil)
	h.vud.Start(nil)
	if h.mw, err = h.a.AllocMW(h.a.PD, 2); err != nil {
		t.Fatal(err)
	}
	h.ah = h.a.AH(h.v.Cont.GIDs[0])
	return h
}

// connect brings every queue pair back to RTS.
func (h *hostile) connect() {
	for _, q := range []*vt.QP{h.rc, h.vrc, h.uc, h.uc2, h.ud} {
		q.To(verbs.StateReset)
	}
	quick := func(a *verbs.QPAttr) { a.RNRRetry, a.RetryCnt, a.AckTimeout = 0, 0, 1 }
	vt.Connect(h.rc, h.vrc, quick)
	vt.Connect(h.uc, h.uc2, quick)
	h.ud.Ready(nil, nil)
	h.ud.Start(nil)
	h.vrc.Recv(vt.RR(1, h.open.SGE(0, 64)), vt.RR(1, h.open.SGE(64, 64)))
	h.vud.Recv(vt.RR(1, h.open.SGE(0, 1024)))
}

// reader gives out fuzz bytes; zeros when they are used up.
type reader []byte

func (r *reader) next() byte {
	if len(*r) == 0 {
		return 0
	}
	b := (*r)[0]
	*r = (*r)[1:]
	return b
}

func (r *reader) word() uint32 {
	return uint32(r.next()) | uint32(r.next())<<8 | uint32(r.next())<<16 | uint32(r.next())<<24
}

// poke writes words anywhere in a queue's memory.
func (r *reader) poke(b []byte, near uint32) {
	for n := r.next() % 8; n > 0 && len(b) >= 4; n-- {
		off := (near + uint32(r.next())) % uint32(len(b)-3)
		v := r.word()
		if r.next()%2 == 0 {
			v &= 0xff // small values reach further
		}
		binary.LittleEndian.PutUint32(b[off:], v)
	}
}

// post makes one work request that is right but for what the input changes.
func (h *hostile) post(r *reader) {
	q := []*vt.QP{h.rc, h.uc, h.uc2, h.ud}[r.next()%4]
	sge := h.mine.SGE(int(r.next())*8, int(r.next())*8)
	w := vt.WR(uint64(r.next()), verbs.Opcode(r.next()%17), sge, sge)
	w.RemoteAddr, w.RKey = h.open.Addr+uint64(r.next())*8, uint32(h.open.RKey)
	switch r.next() % 4 {
	case 0:
		w.RemoteAddr, w.RKey = h.secret.Addr, uint32(h.secret.RKey)
	case 1:
		w.SGE[1].LKey = uint32(h.secret.LKey)
		w.SGE[1].Addr = h.secret.Addr
	}
	w.MWLength, w.MWLKey, w.MWRKey, w.MWNewKey, w.MWAccess = uint64(r.next()), uint32(h.mine.LKey), uint32(h.mw.RKey), uint32(h.mw.RKey), uint32(r.next())
	if q.Type == verbs.TypeUD {
		w.AHNum, w.RemoteQPN, w.RemoteQKey = h.ah, uint32(h.vud.QPN), vt.QKey
	}
	sq, rq := q.Bytes()
	prod := binary.LittleEndian.Uint32(sq[128:])
	if prod >= 15 || binary.LittleEndian.Uint32(sq[0:]) > 9 { // the client follows the header, which the input may have spoilt
		binary.LittleEndian.PutUint32(sq[128:], 0)
		binary.LittleEndian.PutUint32(sq[0:], 9)
		binary.LittleEndian.PutUint32(sq[4:], 15)
		prod = 0
	}
	q.Post(w)
	r.poke(sq, 384+prod<<9)
	r.poke(sq, uint32(r.next()))
	if rq != nil {
		r.poke(rq, r.word())
	}
}

// do runs one input.
func (h *hostile) do(t testing.TB, data []byte) {
	h.a.T, h.v.T = t, t
	h.connect()
	r := reader(data)
	for len(r) > 0 {
		switch r.next() % 6 {
		case 0, 1, 2:
			h.post(&r)
		case 3:
			h.srq.Bytes()[128] = r.next() & 15
			r.poke(h.srq.Bytes(), r.word())
		case 4:
			r.poke(h.cq.Bytes(), r.word())
		case 5:
			h.a.Ring(verbs.Handle(r.next()))
		}
		for _, q := range []*vt.QP{h.rc, h.uc, h.uc2, h.ud} {
			h.a.Ring(q.Handle)
		}
	}
	h.a.Device().Quiesce()
	h.check(t)
}

// check sees that nothing was touched that was not the attacker's to touch, and that others' work goes on.
func (h *hostile) check(t testing.TB) {
	if !h.mine.intact() || !h.open.intact() || !h.secret.intact() || !bytes.Equal(h.secret.B, h.secretWas) {
		t.Fatal("memory was written that nobody may write")
	}
	for {
		if _, ok := h.vcq.PollFor(0); !ok {
			break
		}
	}
	begun := time.Now()
	h.health.Recv(vt.RR(77, h.open.SGE(0, 8)))
	h.healthy1.Send(vt.WR(78, verbs.OpSend, h.open.SGE(8, 8)))
	var e ring.CQE
	for e = h.vcq.Poll(); e.WRID != 78; e = h.vcq.Poll() {
	}
	if e.Status != 0 {
		t.Fatalf("the victim's own pair: %+v", e)
	}
	if d := time.Since(begun); d > time.Second {
		t.Fatalf("the victim's own pair took %v", d)
	}
}

// FuzzRings: whatever a program writes into its queues, the router lives, moves only bytes that were registered for it, and serves others.
func FuzzRings(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		b := make([]byte, 200)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
	h := newHostile(f)
	f.Fuzz(func(t *testing.T, b []byte) { h.do(t, b[:min(len(b), 1024)]) })
}

// TestHostileRings is FuzzRings for a second, with random input.
func TestHostileRings(t *testing.T) {
	h := newHostile(t)
	r := rand.New(rand.NewPCG(5, 6))
	for until := time.Now().Add(time.Second); time.Now().Before(until); {
		b := make([]byte, r.IntN(400))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		h.do(t, b)
	}
}
