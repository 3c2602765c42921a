package orchestrator

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

func removed(kind pb.Kind, network, name string) *pb.Change {
	return &pb.Change{What: &pb.Change_Removed{Removed: &pb.Ref{Kind: kind, Network: network, Name: name}}}
}

// applyHost takes over a host's record, or the beginning or end of its lease. The host's state follows from both.
func (m *Mirror) applyHost(dir, name string, kv *mvccpb.KeyValue, deleted bool) (*pb.Change, error) {
	h := m.hosts[name]
	if h == nil {
		h = &hostEntry{}
		m.hosts[name] = h
	}
	since := time.Now().UnixNano()
	switch {
	case dir == dirAlive && deleted:
		h.lease = 0
	case dir == dirAlive:
		h.lease = kv.Lease
	case deleted:
		h.record, h.rev = nil, 0
	default:
		record := &pb.Host{}
		if err := decode(kv.Value, record); err != nil {
			return nil, err
		}
		h.record, h.rev = record, kv.ModRevision
	}
	was := h.shown
	if h.record == nil {
		h.shown = nil
		if h.lease == 0 {
			delete(m.hosts, name)
		}
		if was == nil {
			return nil, nil
		}
		return removed(pb.Kind_KIND_HOST, "", name), nil
	}
	h.shown = proto.CloneOf(h.record)
	h.shown.Key, h.shown.State = "", pb.Host_STATE_READY
	if h.lease == 0 {
		h.shown.State, h.shown.Since = pb.Host_STATE_GONE, goneSince(was, dir, since)
	}
	if proto.Equal(was, h.shown) {
		return nil, nil
	}
	return hostChange(h.shown), nil
}

// goneSince tells when a host went: etcd keeps no such time, so it is known to those who saw it go.
func goneSince(was *pb.Host, dir string, now int64) int64 {
	switch {
	case was == nil:
		return 0
	case dir == dirAlive && was.State == pb.Host_STATE_READY:
		return now
	case was.State == pb.Host_STATE_GONE:
		return was.Since
	}
	return 0
}

func hostChange(h *pb.Host) *pb.Change { return &pb.Change{What: &pb.Change_Host{Host: h}} }

func (m *Mirror) applyNetwork(name string, kv *mvccpb.KeyValue, deleted bool) (*pb.Change, error) {
	if deleted {
		delete(m.nets, name)
		return removed(pb.Kind_KIND_NETWORK, "", name), nil
	}
	n := &pb.Network{}
	if err := decode(kv.Value, n); err != nil {
		return nil, err
	}
	prefix, err := netip.ParsePrefix(n.Cidr)
	if err != nil {
		return nil, err
	}
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	e := &networkEntry{net: n, prefix: prefix, rev: kv.ModRevision}
	if old := m.nets[name]; old != nil && old.prefix == prefix {
		e.pool = old.pool
	} else {
		e.pool = newPool(prefix)
		for _, c := range m.byName {
			if c.c.Network == name {
				e.pool.take(addrOf(c.c))
			}
		}
	}
	m.nets[name] = e
	return networkChange(n), nil
}

func networkChange(n *pb.Network) *pb.Change { return &pb.Change{What: &pb.Change_Network{Network: n}} }

func (m *Mirror) applyContainer(rest string, kv *mvccpb.KeyValue, deleted bool) (*pb.Change, error) {
	network, name, ok := strings.Cut(rest, "/")
	if !ok {
		return nil, fmt.Errorf("key without a network")
	}
	key := Name{network, name}
	var c *pb.Container
	if !deleted {
		c = &pb.Container{}
		if err := decode(kv.Value, c); err != nil {
			return nil, err
		}
	}
	old := m.byName[key]
	if n := m.nets[network]; n != nil {
		if old != nil && (c == nil || old.c.Ip != c.Ip) {
			n.pool.give(addrOf(old.c))
		}
		if c != nil {
			n.pool.take(addrOf(c))
		}
	}
	if c == nil {
		delete(m.byName, key)
		return removed(pb.Kind_KIND_CONTAINER, network, name), nil
	}
	m.byName[key] = &containerEntry{c, kv.ModRevision}
	return containerChange(c), nil
}

func containerChange(c *pb.Container) *pb.Change {
	return &pb.Change{What: &pb.Change_Container{Container: c}}
}

func (m *Mirror) applyRevocation(rest string, kv *mvccpb.KeyValue, deleted bool) (*pb.Change, error) {
	if deleted {
		old := m.revoked[rest]
		delete(m.revoked, rest)
		if old == nil {
			return nil, nil
		}
		return removed(pb.Kind_KIND_REVOCATION, "", mrName(old.Host, old.Id)), nil
	}
	r := &pb.Revocation{}
	if err := decode(kv.Value, r); err != nil {
		return nil, err
	}
	m.revoked[rest] = r
	return &pb.Change{What: &pb.Change_Revocation{Revocation: r}}, nil
}

// addrOf is a container's address; the zero address if the text is none.
func addrOf(c *pb.Container) netip.Addr {
	addr, _ := netip.ParseAddr(c.GetIp())
	return addr
}
