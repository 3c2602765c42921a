package verbs

import (
	"maps"
	"slices"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/qos"
)

// AttachMcast makes a UD queue pair a member of a multicast group of its network, and of the host's group if the container has the host's
// address.
func (c *Context) AttachMcast(h Handle, g GID, _ uint16) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	qp := c.qps.get(uint32(h))
	if qp == nil || qp.Type != TypeUD || !g.IsMulticast() {
		return syscall.EINVAL
	}
	if slices.Contains(qp.groups, g) {
		return nil
	}
	if err := c.claim(qos.McastGroups, 1); err != nil {
		return err
	}
	err := c.changeGroup(g, func(members []*QP) ([]*QP, error) {
		if len(members) >= MaxMcastAttach {
			return nil, syscall.ENOMEM
		}
		return append(slices.Clone(members), qp), nil
	})
	if err == nil {
		qp.groups = append(qp.groups, g)
	} else {
		c.giveBack(qos.McastGroups, 1)
	}
	return err
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
	c.giveBack(qos.McastGroups, 1)
	_ = c.changeGroup(g, func(members []*QP) ([]*QP, error) {
		return slices.DeleteFunc(slices.Clone(members), func(x *QP) bool { return x == qp }), nil
	})
}

func (c *Context) changeGroup(g GID, f func([]*QP) ([]*QP, error)) (err error) {
	d := c.dev
	d.mu.Lock()
	defer d.mu.Unlock()
	hosted := d.HostMembers(g)
	if c.cont.HostGID != 0 {
		if hosted, err = f(hosted); err != nil {
			return err
		}
	}
	err = d.changeNetwork(c.cont.Network, func(n *network) error {
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
	if err == nil && c.cont.HostGID != 0 {
		d.setHosted(g, hosted)
	}
	return err
}

// setHosted shows who are the members of a group of the host's. The caller holds mu.
func (d *Device) setHosted(g GID, members []*QP) {
	all := map[GID][]*QP{}
	if old := d.hosted.Load(); old != nil {
		maps.Copy(all, *old)
	}
	had := len(all[g]) > 0
	if all[g] = members; len(members) == 0 {
		delete(all, g)
	}
	d.hosted.Store(&all)
	if has := len(members) > 0; has != had && d.groupWatch != nil {
		d.groupWatch(g, has)
	}
}

// WatchGroups says who is told when a group of the host's gets its first member, and when it has lost its last. f is called under a lock
// and returns at once. To be called before there are contexts.
func (d *Device) WatchGroups(f func(g GID, has bool)) { d.groupWatch = f }

// HostMembers gives the queue pairs of a multicast group whose containers, of whatever network, have the host's address: they hear what is
// sent to the group from that address, and from outside. The slice is shared: read only. Any goroutine.
func (d *Device) HostMembers(g GID) []*QP {
	if all := d.hosted.Load(); all != nil {
		return (*all)[g]
	}
	return nil
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
