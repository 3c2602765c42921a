package udp

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Config is what a Port is opened with. Zero values are what a router wants, but for Addr and CPUs.
type Config struct {
	Addr netip.AddrPort // the underlay address and UDP port; port 0 has the kernel choose (Port.Addr)
	CPUs []int          // one socket for each: the core of its worker, -1 if that is bound to none
	TOS  uint8          // IPv4 TOS or IPv6 traffic class of all packets: DSCP, and ECT0 to have switches mark congestion

	Packets    int // that a Batch holds; 256
	Buffer     int // bytes of the sockets' receive and send buffers; 32 MiB
	Segments   int // at most so many packets a run; 1 has every packet go alone; 0: what the kernel takes
	NoGRO      bool
	NoSteering bool // without a filter
	Hint       Hint // where packets may say which socket they are for
}

const (
	defaultPackets = 256
	defaultBuffer  = 32 << 20
)

// Features is what the kernel does for a Port.
type Features struct {
	Segments      int      // packets a message (UDP_SEGMENT); 1: segmentation is not there, or failed
	GRO           bool     // messages may hold several packets (UDP_GRO)
	Steering      Steering //
	ReceiveBuffer int      // bytes that the sockets got, of Config.Buffer
	SendBuffer    int      //
}

// Port is one address and UDP port with a socket for each worker.
type Port struct {
	addr     netip.AddrPort
	sockets  []*Socket
	features features
	probed   Features
}

// Socket is one worker's part of a Port.
type Socket struct {
	Batch    *Batch
	Receiver *Receiver
	Counters Counters
	fd       int
}

// FD is the descriptor to watch for readability; level triggered, or edge triggered if Poll is called until it says that there is no
// more. Valid until the Port is closed.
func (s *Socket) FD() int { return s.fd }

// Open makes the sockets, in the network namespace of the calling thread.
func Open(c Config) (p *Port, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("open UDP port %s: %w", c.Addr, err)
		}
	}()
	if err := c.complete(); err != nil {
		return nil, err
	}
	made := &Port{addr: c.Addr}
	defer func() {
		if err != nil {
			made.Close()
		}
	}()
	if err := made.start(&c); err != nil {
		return nil, err
	}
	return made, nil
}

// start makes the sockets, and what stands on them.
func (p *Port) start(c *Config) error {
	p.probed = Features{Segments: probeSegments(c.Addr.Addr()), GRO: !c.NoGRO}
	if c.Segments > 0 {
		p.probed.Segments = min(p.probed.Segments, c.Segments)
	}
	fds := make([]int, 0, len(c.CPUs))
	for range c.CPUs {
		s, err := p.open(c)
		if err != nil {
			return err
		}
		fds = append(fds, s.fd)
	}
	p.probed.Steering = steer(fds, c.CPUs, c.Hint, !c.NoSteering)
	p.features.maxSegments.Store(int32(p.probed.Segments))
	for _, s := range p.sockets {
		s.Batch = newBatch(s.fd, c.Packets, &p.features, &s.Counters)
		s.Receiver = newReceiver(s.fd, p.probed.GRO, &s.Counters)
	}
	return nil
}

func (c *Config) complete() error {
	if !c.Addr.Addr().IsValid() {
		return errors.New("no address")
	}
	if len(c.CPUs) == 0 {
		return errors.New("no workers")
	}
	c.Addr = netip.AddrPortFrom(c.Addr.Addr().Unmap(), c.Addr.Port())
	if c.Packets <= 0 {
		c.Packets = defaultPackets
	}
	c.Packets = min(c.Packets, maxVecs) // what one sendmmsg takes
	if c.Buffer <= 0 {
		c.Buffer = defaultBuffer
	}
	return nil
}

// open adds a socket; the first one decides on the port number.
func (p *Port) open(c *Config) (*Socket, error) {
	share := 0
	if len(c.CPUs) > 1 {
		share = unix.SO_REUSEPORT
	}
	fd, err := bound(p.addr, share)
	if err != nil {
		return nil, err
	}
	s := &Socket{fd: fd}
	p.sockets = append(p.sockets, s)
	if p.addr.Port() == 0 {
		if p.addr, err = localAddr(fd, p.addr.Addr()); err != nil {
			return nil, err
		}
	}
	if err := setOptions(fd, p.addr.Addr().Is4(), c.TOS); err != nil {
		return nil, err
	}
	toGroups(fd, p.addr.Addr())
	p.probed.GRO = p.probed.GRO && unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1) == nil
	p.probed.ReceiveBuffer = setBuffer(fd, c.Buffer, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF)
	p.probed.SendBuffer = setBuffer(fd, c.Buffer, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF)
	return s, nil
}

// Addr is the local address and port.
func (p *Port) Addr() netip.AddrPort { return p.addr }

// Sockets is how many there are: one for each of Config.CPUs.
func (p *Port) Sockets() int { return len(p.sockets) }

// Socket is that of the i-th worker.
func (p *Port) Socket(i int) *Socket { return p.sockets[i] }

// Features says what the kernel does for the port now.
func (p *Port) Features() Features {
	f := p.probed
	f.Segments = int(p.features.maxSegments.Load())
	return f
}

// Counters sums those of all sockets.
func (p *Port) Counters() *Counters {
	sum := &Counters{}
	for _, s := range p.sockets {
		sum.add(&s.Counters)
	}
	return sum
}

// Close closes the sockets. No worker may use them any more.
func (p *Port) Close() {
	for _, s := range p.sockets {
		_ = unix.Close(s.fd)
	}
	p.sockets = nil
}
