package verbs

import (
	"slices"
	"syscall"
)

// AttachMcast makes a UD queue pair a member of a multicast group of its network.
func (c *Context) AttachMcast(h Handle, g GID, _ uint16) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	qp := c.qps.get(uint32(h))
	if qp == nil || qp.Type != TypeUD || !g.IsMulticast() {
		return syscall.EINVAL
	}
	return c.changeGroup(g, func(members []*QP) ([]*QP, error) {
		if slices.Contains(members, qp) {
			return members, nil
		}
		if len(members) >= MaxMcastAttach {
			return nil, syscall.ENOMEM
		}
		qp.groups = append(qp.groups, g)
		return append(slices.Clone(members), qp), nil
	})
}

// DetachMcast undoes AttachMcast.
func (c *Context) DetachMcast(h Handle, g GID, _ uint16) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	qp := c.qps.get(uint32(h))
	if qp == nil || !slices.Contains(qp.groups, g) {
		return syscall.EINVAL
	}
	c.leaveGroup(qp, g)
	return nil
}

func (c *Context) leaveGroup(qp *QP, g GID) {
	qp.groups = slices.DeleteFunc(qp.groups, func(x GID) bool { return x == g })
	_ = c.changeGroup(g, func(members []*QP) ([]*QP, error) {
		return slices.DeleteFunc(slices.Clone(members), func(x *QP) bool { return x == qp }), nil
	})
}

func (c *Context) changeGroup(g GID, f func([]*QP) ([]*QP, error)) error {
	d := c.dev
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changeNetwork(c.cont.Network, func(n *network) error {
		if n.groups[g] == nil && len(n.groups) >= MaxMcastGroups {
			return syscall.ENOMEM
		}
		members, err := f(n.groups[g])
		if err != nil {
			return err
		}
		if n.groups[g] = members; len(members) == 0 {
			delete(n.groups, g)
		}
		return nil
	})
}

// Members gives the queue pairs of a multicast group in this queue pair's network. The slice is shared: read only.
func (qp *QP) Members(g GID) []*QP { return qp.dev.Members(qp.ctx.cont.Network, g) }

// Members gives the queue pairs of a multicast group in a network. The slice is shared: read only.
func (d *Device) Members(netw string, g GID) []*QP {
	n := (*d.networks.Load())[netw]
	if n == nil {
		return nil
	}
	return n.groups[g]
}
