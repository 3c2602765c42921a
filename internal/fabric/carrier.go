package fabric

import (
	"fmt"
	"net/netip"
	"sync/atomic"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/fabric/local"
	"github.com/freeflow-rdma/freeflow/internal/fabric/udp"
	"github.com/freeflow-rdma/freeflow/internal/pcap"
	"github.com/freeflow-rdma/freeflow/internal/transport"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// Carrier is verbs.Carrier for a host among others.
type Carrier struct {
	Counters Counters
	Host     *transport.Host
	Tap      pcap.Tap // shows what is sent and received to whoever captures

	eng      *engine.Engine
	dev      *verbs.Device
	qp1      qp1
	local    local.Carrier
	table    atomic.Pointer[Table]
	underlay netip.Addr
	much     much    // for steering
	steers   bool    // packets may say which socket they are for
	lanes    []*lane // by worker
	ports    []*udp.Port
	inlets   []*inlet
	groups   *groups // nil if there are no external peers
}

// New makes a carrier that knows of no other host. Without Start it carries messages on this host only.
func New() *Carrier {
	c := &Carrier{Host: transport.NewHost()}
	c.much.set(steerBegin, steerKeep)
	c.local = local.Carrier{Away: elsewhere{c}, Tap: &c.Tap}
	c.table.Store(NewTable(0))
	c.qp1.init(c)
	return c
}

// Bind ties the carrier to the engine whose workers will call it. To be called once, before there are queue pairs.
func (c *Carrier) Bind(eng *engine.Engine) {
	c.eng = eng
	c.lanes = make([]*lane, eng.Workers())
	cores := len(eng.CPUs())
	for i := range c.lanes {
		c.lanes[i] = &lane{c: c, core: -1}
		if i < cores {
			c.lanes[i].core = i
		}
		c.lanes[i].env.Host = c.Host
		c.lanes[i].env.Out = c.lanes[i]
	}
}

// SetDevice says whose messages are carried; Start does so too. Before it no address is known and no MAD arrives.
func (c *Carrier) SetDevice(dev *verbs.Device) { c.dev = dev }

// Underlay is how this host is reached by others.
type Underlay struct {
	IP    netip.Addr
	Plain bool // also speak plain RoCEv2
}

// Start opens the ports on the underlay and lets the device's workers serve them. After Bind, before there are queue pairs.
func (c *Carrier) Start(dev *verbs.Device, u Underlay) (err error) {
	defer func() {
		if err != nil {
			c.Stop()
			err = fmt.Errorf("open the underlay: %w", err)
		}
	}()
	c.SetDevice(dev)
	c.underlay = u.IP
	cpus := c.eng.CPUs()
	if err := c.open(cpus, GenevePort, false); err != nil {
		return err
	}
	if u.Plain {
		if err := c.open(cpus, RoCEPort, true); err != nil {
			return err
		}
	}
	c.eng.SetEgress(func(w *engine.Worker) engine.Egress { return c.lanes[w.Index()] }) // from here on workers see the batches
	for _, in := range c.inlets {
		if err := c.eng.Watch(in.home, in.fd, in); err != nil {
			return err
		}
	}
	if u.Plain {
		return c.openGroups()
	}
	return nil
}

// open opens one port, with a batch for each worker and an inlet for each core.
func (c *Carrier) open(cpus []int, number uint16, plain bool) error {
	config := udp.Config{Addr: netip.AddrPortFrom(c.underlay, number), CPUs: cpus}
	if !plain {
		config.Hint = hint
	}
	port, err := udp.Open(config)
	if err != nil {
		return err
	}
	c.ports = append(c.ports, port)
	if !plain {
		c.steers = port.Features().Steering == udp.SteerProgram
	}
	for i, l := range c.lanes {
		var b *udp.Batch
		if i < len(cpus) {
			b = port.Socket(i).Batch
		} else {
			b = port.NewBatch(i % len(cpus))
		}
		if plain {
			l.plain = b
		} else {
			l.tunnel = b
		}
	}
	for i := range cpus {
		c.inlets = append(c.inlets, &inlet{c: c, dev: c.dev, home: i, fd: port.Socket(i).FD(), rx: port.Socket(i).Receiver, plain: plain})
	}
	return nil
}

// Stop closes the ports. What queue pairs still send is lost.
func (c *Carrier) Stop() {
	for _, in := range c.inlets {
		c.eng.Forget(in.home, in.fd)
	}
	c.inlets = nil
	if c.groups != nil {
		c.groups.close()
		c.groups = nil
	}
	for _, l := range c.lanes {
		l.closed.Store(true)
	}
	c.eng.Quiesce()
	for _, p := range c.ports {
		p.Close()
	}
	c.ports = nil
}

// FabricOf names what carries a connected queue pair's messages: "local", "geneve" or "plain"; empty if nothing does yet.
func (c *Carrier) FabricOf(dev *verbs.Device, n verbs.QPN) string {
	qp := dev.QP(n)
	if qp == nil || qp.Type == verbs.TypeUD {
		return ""
	}
	switch linkOf(qp).side.Load() {
	case here:
		return "local"
	case away:
		if r := linkOf(qp).route.Load(); r != nil && r.path != nil && r.path.Tag.(*way).plain {
			return "plain"
		}
		return "geneve"
	}
	return ""
}

// Ports are the open ports, for their counters.
func (c *Carrier) Ports() []*udp.Port { return c.ports }

// SetTable says where the containers of other hosts are from now on. Connected queue pairs find their way anew.
func (c *Carrier) SetTable(t *Table) { c.table.Store(t) }

// Wake gives a queue pair a turn, so that it sees that its peer's host has gone: one with nothing to send would not look. Not for workers.
func (c *Carrier) Wake(qp *verbs.QP) { c.eng.Schedule(&qp.Item) }

// Open is verbs.Carrier's.
func (c *Carrier) Open(qp *verbs.QP) {
	qp.Ext = &link{conn: transport.Open(qp), steer: steering{much: &c.much}}
}

// Reset is verbs.Carrier's.
func (c *Carrier) Reset(qp *verbs.QP) {
	l := linkOf(qp)
	l.conn.Reset()
	l.side.Store(undecided)
	l.route.Store(nil)
	l.steer.forget()
}

// laneOf gives a worker's lane, for what is to be done now.
func (c *Carrier) laneOf(w *engine.Worker) *lane {
	l := c.lanes[w.Index()]
	l.env.Now, l.env.Scratch = w.Now(), &w.Scratch
	return l
}

// Run is verbs.Carrier's.
func (c *Carrier) Run(w *engine.Worker, qp *verbs.QP, budget int) engine.Verdict {
	if qp.Type == verbs.TypeUD || c.isHere(qp) {
		return c.local.Run(w, qp, budget)
	}
	r := c.current(qp)
	l := c.laneOf(w)
	l.env.Began, l.env.Used, l.bulk = 0, 0, false
	v := linkOf(qp).conn.Run(&l.env, r.path, budget)
	qp.Used += l.env.Used
	if l.bulk && !qp.Limited() {
		w.Bulk(&qp.Item)
	}
	w.Did(&qp.Item, l.env.Began) // the program did not ring for nothing, though nothing has completed yet
	return v
}

// elsewhere is the carrier as package local sees it: what to do with datagrams for other hosts.
type elsewhere struct{ c *Carrier }

// Datagram is local.Away's.
func (e elsewhere) Datagram(w *engine.Worker, qp *verbs.QP, av *verbs.AHAttr) (verbs.WCStatus, engine.Verdict) {
	if at := linkOf(qp).conn.PausedUntil(w.Now()); at != 0 {
		qp.WakeAt = at
		return verbs.WCSuccess, engine.Wait
	}
	if status, sent := e.send(w, qp, av); sent {
		return status, engine.Idle
	}
	return verbs.WCSuccess, engine.More
}

func (e elsewhere) send(w *engine.Worker, qp *verbs.QP, av *verbs.AHAttr) (status verbs.WCStatus, sent bool) {
	c := e.c
	l := c.laneOf(w)
	l.av = av
	t := c.table.Load()
	if fromHost(qp.Container(), int(av.SGIDIndex)) {
		return transport.SendDatagram(&l.env, l.outside(t, av.DGID), qp)
	}
	if !av.DGID.IsMulticast() {
		return transport.SendDatagram(&l.env, c.find(t, qp, av), qp)
	}
	n := t.networks[qp.Container().VNI]
	if n == nil {
		return verbs.WCSuccess, true
	}
	for _, p := range n.hosts {
		if l.Room() <= 0 {
			l.Flush() // not later: whoever has had the datagram would have it once more
		}
		if status, _ = transport.SendDatagram(&l.env, p, qp); status != verbs.WCSuccess {
			return status, true
		}
	}
	return verbs.WCSuccess, true
}

// Idle is the turn of a UD queue pair with nothing to send.
func (e elsewhere) Idle(w *engine.Worker, qp *verbs.QP) engine.Verdict {
	return linkOf(qp).conn.Datagrams(&e.c.laneOf(w).env)
}
