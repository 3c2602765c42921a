package verbs_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/fabric/local"
	"github.com/freeflow-rdma/freeflow/internal/qos"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// maker makes and unmakes one object of a kind.
type maker struct {
	res  qos.Resource
	make func(p *vt.Program) (undo func() error, err error)
}

// makers are all the kinds of objects that quotas count. They need a CQ, which is there.
func makers(cq verbs.Handle) []maker {
	return []maker{
		{qos.PDs, func(p *vt.Program) (func() error, error) {
			h, err := p.AllocPD()
			return func() error { return p.DeallocPD(h) }, err
		}},
		{qos.CQs, func(p *vt.Program) (func() error, error) {
			i, err := p.CreateCQ(verbs.CQInit{CQE: 10})
			return func() error { _, _, err := p.DestroyCQ(i.Handle); return err }, err
		}},
		{qos.MRs, func(p *vt.Program) (func() error, error) {
			i, err := p.RegMR(p.Proc, verbs.MRInit{PD: p.PD, Start: 4096, IOVA: 4096, Length: 10})
			return func() error { return p.DeregMR(i.Handle) }, err
		}},
		{qos.QPs, func(p *vt.Program) (func() error, error) {
			i, err := p.CreateQP(verbs.QPInit{PD: p.PD, SendCQ: cq, RecvCQ: cq, Type: verbs.TypeRC, Cap: verbs.QPCap{MaxSendWR: 5, MaxRecvWR: 5}})
			return func() error { _, err := p.DestroyQP(i.Handle); return err }, err
		}},
		{qos.SRQs, func(p *vt.Program) (func() error, error) {
			i, err := p.CreateSRQ(verbs.SRQInit{PD: p.PD, MaxWR: 10, MaxSGE: 1})
			return func() error { _, err := p.DestroySRQ(i.Handle); return err }, err
		}},
		{qos.AHs, func(p *vt.Program) (func() error, error) {
			h, _, err := p.CreateAH(p.PD, verbs.AHAttr{IsGlobal: true, PortNum: 1, DGID: p.Cont.GIDs[0]})
			return func() error { return p.DestroyAH(h) }, err
		}},
		{qos.MWs, func(p *vt.Program) (func() error, error) {
			i, err := p.AllocMW(p.PD, 1)
			return func() error { return p.DeallocMW(i.Handle) }, err
		}},
		{qos.McastGroups, func(p *vt.Program) (func() error, error) {
			q := p.QPWith(verbs.QPInit{PD: p.PD, SendCQ: cq, RecvCQ: cq, Type: verbs.TypeUD, Cap: verbs.QPCap{MaxSendWR: 5, MaxRecvWR: 5}})
			g := verbs.GID{0xff, 0x12, 15: 1}
			return func() error { return p.DetachMcast(q.Handle, g, 0) }, p.AttachMcast(q.Handle, g, 0)
		}},
		{qos.CMIDs, func(p *vt.Program) (func() error, error) {
			if !p.Cont.AddCMIDs(1) {
				return nil, syscall.ENOMEM
			}
			return func() error { p.Cont.AddCMIDs(-1); return nil }, nil
		}},
	}
}

// quota gives parameters with one quota, of the container or of its tenant.
func quota(r qos.Resource, n uint64, tenant bool) qos.Params {
	p := qos.Default()
	p.Tenant = "t"
	if tenant {
		p.TenantQuota[r] = n
	} else {
		p.Quota[r] = n
	}
	return p
}

// TestQuotas: of each resource there may be as many as the quota says, of a container alone or of two of a tenant together; what is gone
// makes room; what a lowered quota does not allow stays; other containers are untouched; each refusal is counted.
func TestQuotas(t *testing.T) {
	nic := vt.New(t, local.Carrier{})
	for _, tenant := range []bool{false, true} {
		p, mate, stranger := nic.Program(t), nic.Program(t), nic.Program(t)
		cq, other := p.CQ(10), mate.CQ(10)
		for i, m := range makers(cq.Handle) {
			one := func(p *vt.Program, cq *vt.CQ) (func() error, error) { return makers(cq.Handle)[i].make(p) }
			base := p.Cont.Used()[m.res]
			if tenant {
				nic.Dev.SetParams(mate.Cont, quota(m.res, qos.Unlimited, true))
				if undo, err := one(mate, other); err != nil || undo == nil {
					t.Fatalf("resource %d: %v", m.res, err)
				}
				base += mate.Cont.Used()[m.res]
			}
			nic.Dev.SetParams(p.Cont, quota(m.res, base+2, tenant))
			denied := p.Cont.Denied()[m.res]
			first, err1 := one(p, cq)
			_, err2 := one(p, cq)
			_, err3 := one(p, cq)
			if err1 != nil || err2 != nil || !errors.Is(err3, syscall.ENOMEM) || p.Cont.Denied()[m.res] != denied+1 {
				t.Fatalf("resource %d, tenant %v: %v, %v, %v; denied %d", m.res, tenant, err1, err2, err3, p.Cont.Denied()[m.res])
			}
			if err := first(); err != nil {
				t.Fatal(err)
			}
			again, err := one(p, cq)
			if err != nil {
				t.Fatalf("resource %d: after one has gone: %v", m.res, err)
			}
			nic.Dev.SetParams(p.Cont, quota(m.res, 0, tenant))
			if err := again(); err != nil {
				t.Error(err)
			}
			if _, err := one(p, cq); !errors.Is(err, syscall.ENOMEM) {
				t.Errorf("resource %d: over a lowered quota: %v", m.res, err)
			}
			if m.res != qos.QPs && m.res != qos.McastGroups {
				if _, err := one(stranger, cq); err != nil {
					t.Errorf("resource %d: another container: %v", m.res, err)
				}
			}
			nic.Dev.SetParams(p.Cont, qos.Default())
		}
		if n := stranger.Cont.Denied(); n != [qos.NumResources]uint64{} {
			t.Errorf("denied to another: %v", n)
		}
	}
}

// TestQuotaContexts: opening the device counts, and closing a context gives everything back that was in it.
func TestQuotaContexts(t *testing.T) {
	nic := vt.New(t, local.Carrier{})
	p := nic.Program(t)
	nic.Dev.SetParams(p.Cont, quota(qos.Contexts, 2, true))
	second, err := nic.Dev.OpenContext(p.Cont)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nic.Dev.OpenContext(p.Cont); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("third context: %v", err)
	}
	nic.Dev.SetParams(p.Cont, quota(qos.Contexts, 3, true))
	before := p.Cont.Used()
	q := nic.ProgramIn(t, p.Cont)
	cq := q.CQ(10)
	for _, m := range makers(cq.Handle) {
		if m.res == qos.CMIDs {
			continue
		}
		if _, err := m.make(q); err != nil {
			t.Fatal(err)
		}
	}
	q.Close()
	second.Close()
	before[qos.Contexts]--
	if now := p.Cont.Used(); now != before {
		t.Errorf("used after the close: %v, before: %v", now, before)
	}
}

// TestQuotaDepths: queues may be as deep as the quota says.
func TestQuotaDepths(t *testing.T) {
	nic := vt.New(t, local.Carrier{})
	p := nic.Program(t)
	cq := p.CQ(10)
	params := quota(qos.CQDepth, 100, false)
	params.TenantQuota[qos.QPDepth] = 50
	nic.Dev.SetParams(p.Cont, params)
	if _, err := p.CreateCQ(verbs.CQInit{CQE: 101}); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("CQ: %v", err)
	}
	if err := cq.Resize(101); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("CQ resized: %v", err)
	}
	if err := cq.Resize(100); err != nil {
		t.Errorf("CQ resized: %v", err)
	}
	qp := verbs.QPInit{PD: p.PD, SendCQ: cq.Handle, RecvCQ: cq.Handle, Type: verbs.TypeRC, Cap: verbs.QPCap{MaxSendWR: 50, MaxRecvWR: 51}}
	if _, err := p.CreateQP(qp); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("QP: %v", err)
	}
	qp.Cap.MaxRecvWR = 50
	if _, err := p.CreateQP(qp); err != nil {
		t.Errorf("QP: %v", err)
	}
	if _, err := p.CreateSRQ(verbs.SRQInit{PD: p.PD, MaxWR: 51, MaxSGE: 1}); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("SRQ: %v", err)
	}
	if n := p.Cont.Denied(); n[qos.CQDepth] != 2 || n[qos.QPDepth] != 2 {
		t.Errorf("denied %v", n)
	}
}

// TestQuotaBytes: registered bytes.
func TestQuotaBytes(t *testing.T) {
	nic := vt.New(t, local.Carrier{})
	p := nic.Program(t)
	nic.Dev.SetParams(p.Cont, quota(qos.MRBytes, 10_000, false))
	reg := func(n uint64) (verbs.MRInfo, error) {
		return p.RegMR(p.Proc, verbs.MRInit{PD: p.PD, Start: 4096, IOVA: 4096, Length: n})
	}
	a, err := reg(6000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reg(4001); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("over the quota: %v", err)
	}
	if _, err := reg(4000); err != nil {
		t.Error(err)
	}
	if err := p.DeregMR(a.Handle); err != nil {
		t.Fatal(err)
	}
	if n := p.Cont.Used(); n[qos.MRBytes] != 4000 || n[qos.MRs] != 1 {
		t.Errorf("used %v", n)
	}
}

// TestTenantMoves: a container takes what it has with it.
func TestTenantMoves(t *testing.T) {
	nic := vt.New(t, local.Carrier{})
	a, b := nic.Program(t), nic.Program(t)
	params := quota(qos.PDs, 2, true)
	nic.Dev.SetParams(a.Cont, params)
	nic.Dev.SetParams(b.Cont, params)
	if _, err := a.AllocPD(); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("two containers have two already: %v", err)
	}
	params.Tenant = "u"
	nic.Dev.SetParams(b.Cont, params)
	if _, err := a.AllocPD(); err != nil {
		t.Error(err)
	}
	if _, err := b.AllocPD(); err != nil {
		t.Error(err)
	}
	nic.Dev.RemoveContainer(b.Cont)
	params.Tenant = "t"
	nic.Dev.SetParams(b.Cont, params)
	if _, err := a.AllocPD(); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("over the quota: %v", err)
	}
}
