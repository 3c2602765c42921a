package router

import (
	"context"
	"encoding/binary"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/cluster"
	"github.com/freeflow-rdma/freeflow/internal/container"
	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/fdconn"
	"github.com/freeflow-rdma/freeflow/internal/metrics"
	"github.com/freeflow-rdma/freeflow/internal/pcap"
	"github.com/freeflow-rdma/freeflow/internal/rdmacm"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// backend answers on the admin socket (admin.Backend): it makes a registered container a tenant of the server, and shows what there is.
type backend struct {
	cfg     Config
	host    *container.Host
	eng     *engine.Engine
	dev     *verbs.Device
	cm      *rdmacm.Host
	srv     *server
	member  *member
	usage   *metrics.Reporter
	started time.Time

	mu      sync.Mutex
	tenants map[string]*verbs.Container // by ID
}

// RegisterContainer gives a container its network and files, then its virtual device.
func (b *backend) RegisterContainer(ctx context.Context, peer admin.Peer, spec admin.ContainerSpec) (admin.ContainerInfo, error) {
	subject, err := b.member.register(ctx, &spec)
	if err != nil {
		return admin.ContainerInfo{}, err
	}
	c, err := b.host.Add(peer, spec)
	if err != nil {
		b.member.unregister(spec.Network, spec.Name, spec.ID)
		return admin.ContainerInfo{}, err
	}
	v, err := b.virtualDevice(c)
	if err == nil {
		err = b.dev.AddContainer(v)
	}
	if err == nil {
		b.member.gov.add(v, subject)
	}
	if err != nil {
		b.host.Remove(c.ID)
		b.member.unregister(c.Network, c.Name, c.ID)
		return admin.ContainerInfo{}, err
	}
	b.mu.Lock()
	b.tenants[c.ID] = v
	b.mu.Unlock()
	b.srv.addTenant(v, c.NetNS.ID())
	b.cfg.Log.Info("container registered", "container", c.Name, "id", c.ID, "ip", c.IP, "network", c.Network, "pid", c.PID)
	return b.host.Info(c), nil
}

// virtualDevice is a container as verbs knows it.
func (b *backend) virtualDevice(c *container.Container) (*verbs.Container, error) {
	mode, err := engine.ParseMode(c.Mode)
	if err != nil {
		return nil, err
	}
	guid := container.NodeGUID(vnet.MAC(c.IP))
	v := &verbs.Container{ID: c.ID, Name: c.Name, Network: c.Network, GUID: binary.BigEndian.Uint64(guid[:]), Mode: mode}
	for i, gid := range c.GIDs {
		v.GIDs = append(v.GIDs, verbs.GIDOf(gid))
		if len(b.cfg.External) > 0 && gid.Unmap() == b.cfg.HostIP {
			v.HostGID = i
		}
	}
	if n := b.member.client.State().Network(c.Network); n != nil {
		v.VNI = n.VNI
	}
	return v, nil
}

// UnregisterContainer undoes RegisterContainer, the device first.
func (b *backend) UnregisterContainer(id string) {
	b.mu.Lock()
	v, ok := b.tenants[id]
	delete(b.tenants, id)
	b.mu.Unlock()
	if !ok {
		return
	}
	b.cm.RemoveContainer(v) // while its peers can still be told
	b.srv.removeTenant(v)
	b.dev.RemoveContainer(v)
	b.lastUsage(v)
	b.member.gov.remove(v)
	b.host.Remove(id)
	b.member.unregister(v.Network, v.Name, id)
	b.cfg.Log.Info("container removed", "container", v.Name, "id", id)
}

// Status tells that the router answers.
func (b *backend) Status() admin.Status {
	return admin.Status{
		Version: version(), ABIVersion: fdconn.ABIVersion, PID: os.Getpid(),
		RunDir: b.cfg.RunDir, Mode: b.cfg.Mode, Started: b.started, Containers: len(b.host.List()),
	}
}

// Tap is where captures listen.
func (b *backend) Tap() *pcap.Tap { return &b.member.carrier.Tap }

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}

// lost ends a container whose name or address the cluster has given to another (cluster.Config.OnLost).
func (b *backend) lost(n cluster.Name, instance, reason string) {
	b.cfg.Log.Warn("container is lost", "container", n.Name, "network", n.Network, "reason", reason)
	go b.UnregisterContainer(instance)
}
