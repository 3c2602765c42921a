package verbs

import (
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/qos"
)

// ah is an address handle: an address vector that UD work requests name by number. Never changed once made.
type ah struct {
	pd   *pd
	attr AHAttr
}

// CreateAH makes an address handle. Its handle is its number too.
func (c *Context) CreateAH(pdh Handle, a AHAttr) (Handle, uint32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pd := c.pds.get(uint32(pdh))
	if pd == nil || c.checkAV(&a) != nil {
		return 0, 0, syscall.EINVAL
	}
	if err := c.claim(qos.AHs, 1); err != nil {
		return 0, 0, err
	}
	i, err := c.ahs.reserve()
	if err != nil {
		c.giveBack(qos.AHs, 1)
		return 0, 0, err
	}
	c.mark(&a)
	c.ahs.put(i, &ah{pd: pd, attr: a})
	pd.refs.Add(1)
	return Handle(i), i, nil
}

// mark gives an address vector that asks for no traffic class the one of the container's policy (RFC 2474: DSCP is its upper six bits).
func (c *Context) mark(a *AHAttr) {
	if a.TrafficClass != 0 && !a.marked {
		return
	}
	a.TrafficClass, a.marked = 0, false
	if p := c.cont.params.Load(); p != nil && p.DSCP != 0 {
		a.TrafficClass, a.marked = p.DSCP<<2, true
	}
}

// asked is an address vector as the program gave it.
func (a AHAttr) asked() AHAttr {
	if a.marked {
		a.TrafficClass, a.marked = 0, false
	}
	return a
}

// remark marks what the context has after the policy has changed.
func (c *Context) remark() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.ahs.each(func(i uint32, a *ah) {
		next := *a
		c.mark(&next.attr)
		c.ahs.put(i, &next)
	})
	c.qps.each(func(_ uint32, qp *QP) {
		if qp.Type == TypeUD || qp.State() < StateRTR {
			return
		}
		next := *qp.attr.Load()
		c.mark(&next.AV)
		qp.attr.Store(&next)
	})
}

// checkAV is what RoCE asks of an address vector: a global route from one of our GIDs, on port 1.
func (c *Context) checkAV(a *AHAttr) error {
	if a.PortNum != 1 || !a.IsGlobal || int(a.SGIDIndex) >= len(c.cont.GIDs) || a.DGID == (GID{}) {
		return syscall.EINVAL
	}
	return nil
}

// DestroyAH ends an address handle. Work requests that name it and have not been begun fail.
func (c *Context) DestroyAH(h Handle) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.ahs.get(uint32(h))
	if a == nil {
		return syscall.EINVAL
	}
	c.ahs.release(uint32(h))
	c.giveBack(qos.AHs, 1)
	a.pd.refs.Add(-1)
	return nil
}

// AV gives the address vector of a UD work request; nil if the number is none of this queue pair's protection domain.
func (qp *QP) AV(num uint32) *AHAttr {
	if a := qp.ctx.ahs.get(num); a != nil && a.pd == qp.pd {
		return &a.attr
	}
	return nil
}
