package verbs

import (
	"sync"
	"sync/atomic"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/qos"
)

// What holds for containers: SetParams takes it from whoever knows the policies, and the data path finds it here.
//
//	QP.gates ──▶ Container.gates ──▶ tenant.gates        of each direction, a chain that what is carried has to pass
//
// A container for which nothing is bounded has no limits at all: the data path sees a nil pointer and goes on.

// gates bound one queue pair, container or tenant in both directions.
type gates struct{ out, in qos.Gate }

func (g *gates) set(now int64, l qos.Limits) {
	g.out.Set(now, l.Egress)
	g.in.Set(now, l.Ingress)
}

func (g *gates) bound() bool { return g.out.Bound() || g.in.Bound() }

// tenant is what the containers of one tenant on this host share. It lives as long as one of them names it.
type tenant struct {
	account
	name    string
	members map[*Container]bool // under Device.params.mu
	group   *engine.Group
	gates
}

// standing is what SetParams knows of the device's containers.
type standing struct {
	mu      sync.Mutex
	tenants map[string]*tenant
	special map[*Container]bool // of another class or weight than others
	clock   func() int64        // nil: the workers'
	epoch   atomic.Uint64
}

// limits is what bounds a container's queue pairs, beside their own gates. Immutable.
type limits struct {
	out, in []*qos.Gate
}

// SetClock says what time it is, where messages are not carried in the workers' time. For tests, before anything else.
func (d *Device) SetClock(now func() int64) { d.params.clock = now }

func (d *Device) clock() int64 {
	if d.params.clock != nil {
		return d.params.clock()
	}
	return d.eng.Now()
}

// SetParams says what holds for a container from now on, for existing queue pairs as for new ones. The containers of one tenant share what is the
// tenant's, of which the last word counts. Any goroutine.
func (d *Device) SetParams(c *Container, p qos.Params) {
	s, now := &d.params, d.clock()
	s.mu.Lock()
	c.goods.allow(p.Quota)
	t := s.tenantOf(c, &p)
	t.allow(p.TenantQuota)
	t.set(now, p.All)
	c.gates.set(now, p.Container)
	old := c.params.Swap(&p)
	for m := range t.members {
		m.relimit(t)
	}
	c.relimit(t)
	d.share(c, t, &p)
	s.epoch.Add(1)
	s.mu.Unlock()
	d.apply(c, &p, now)
	if old == nil && p.DSCP != 0 || old != nil && p.DSCP != old.DSCP {
		d.ctxs.each(func(_ uint32, x *Context) {
			if x.cont == c {
				x.remark()
			}
		})
	}
}

// share gives the container its part of the workers' turns. Under mu.
func (d *Device) share(c *Container, t *tenant, p *qos.Params) {
	s := &d.params
	d.eng.SetGroup(t.group, engine.Standing{Weight: p.TenantWeight})
	d.eng.SetGroup(c.group(), engine.Standing{Parent: t.group, Class: p.Class, Weight: p.Weight})
	if !c.Gone() && (p.Class != qos.ClassNormal || p.Weight > 1 || p.TenantWeight > 1) {
		if s.special == nil {
			s.special = map[*Container]bool{}
		}
		s.special[c] = true
	} else {
		delete(s.special, c)
	}
	d.eng.SetShares(len(s.special) > 0)
}

// group is what the container's queue pairs are to the engine.
func (c *Container) group() *engine.Group {
	if g := c.turns.Load(); g != nil {
		return g
	}
	c.turns.CompareAndSwap(nil, engine.NewGroup(nil))
	return c.turns.Load()
}

// tenantOf makes the container a member of its tenant; one that has been removed is a member of none for long. Under mu.
func (s *standing) tenantOf(c *Container, p *qos.Params) *tenant {
	t := s.tenants[p.Tenant]
	if t == nil {
		t = &tenant{name: p.Tenant, members: map[*Container]bool{}, group: engine.NewGroup(nil)}
	}
	if c.Gone() {
		return t
	}
	old := c.goods.tenant
	if old != t {
		s.leave(c)
		if s.tenants == nil {
			s.tenants = map[string]*tenant{}
		}
		s.tenants[p.Tenant] = t
		t.members[c] = true
		c.goods.join(t)
	}
	return t
}

// leave takes the container from its tenant. Under mu.
func (s *standing) leave(c *Container) {
	if t := c.goods.tenant; t != nil {
		c.goods.join(nil)
		delete(t.members, c)
		if len(t.members) == 0 {
			delete(s.tenants, t.name)
		}
	}
}

// forget is leave, for a container that goes.
func (s *standing) forget(c *Container) {
	s.mu.Lock()
	s.leave(c)
	delete(s.special, c)
	s.mu.Unlock()
}

// relimit shows the data path what bounds the container. Under standing.mu.
func (c *Container) relimit(t *tenant) {
	p := c.params.Load()
	each := p != nil && p.QP != (qos.Limits{})
	if !each && !c.gates.bound() && !t.bound() {
		c.limits.Store(nil)
		return
	}
	c.limits.Store(&limits{out: []*qos.Gate{&c.gates.out, &t.out}, in: []*qos.Gate{&c.gates.in, &t.in}})
}

// apply brings what holds to the container's queue pairs, and wakes those that wait for what held before.
func (d *Device) apply(c *Container, p *qos.Params, now int64) {
	d.qps.each(func(_ uint32, qp *QP) {
		if qp.ctx.cont == c {
			qp.bind(p, now)
		}
		if qp.waits.Load() {
			d.eng.Schedule(&qp.Item)
		}
	})
}

// bind gives the queue pair gates of its own, if there are limits of queue pairs.
func (qp *QP) bind(p *qos.Params, now int64) {
	g := qp.gates.Load()
	if g == nil {
		if p.QP == (qos.Limits{}) {
			return
		}
		qp.gates.CompareAndSwap(nil, new(gates))
		g = qp.gates.Load()
	}
	g.set(now, p.QP)
}

// Limited reports whether anything that the queue pair sends or receives may have to wait for a limit. Any worker.
func (qp *QP) Limited() bool { return qp.ctx.cont.limits.Load() != nil }

// Egress appends to a chain what bounds what the queue pair sends. Any worker.
func (qp *QP) Egress(c *qos.Chain) {
	if l := qp.ctx.cont.limits.Load(); l != nil {
		if g := qp.gates.Load(); g != nil {
			c.Add([]*qos.Gate{&g.out})
		}
		c.Add(l.out)
	}
}

// Ingress appends to a chain what bounds what the queue pair receives. Any worker.
func (qp *QP) Ingress(c *qos.Chain) {
	if l := qp.ctx.cont.limits.Load(); l != nil {
		if g := qp.gates.Load(); g != nil {
			c.Add([]*qos.Gate{&g.in})
		}
		c.Add(l.in)
	}
}

// LimitEpoch changes with every SetParams: what was booked before is booked anew. Any worker.
func (d *Device) LimitEpoch() uint64 { return d.params.epoch.Load() }
