package router

import (
	"fmt"
	"math/bits"
	"net/netip"

	"github.com/freeflow-rdma/freeflow/internal/fabric"
	"github.com/freeflow-rdma/freeflow/internal/fabric/udp"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// openUnderlay makes other hosts reachable from HostIP, and gives what undoes it.
func openUnderlay(cfg Config, dev *verbs.Device, carrier *fabric.Carrier) (stop func(), err error) {
	if !cfg.HostIP.IsValid() {
		return func() {}, nil
	}
	mtu, err := pathMTU(cfg.HostIP)
	if err != nil {
		return nil, err
	}
	dev.SetMTU(mtu)
	if err := carrier.Start(dev, fabric.Underlay{IP: cfg.HostIP, Plain: len(cfg.External) > 0}); err != nil {
		return nil, err
	}
	for _, p := range carrier.Ports() {
		f := p.Features()
		cfg.Log.Info("underlay port is open", "addr", p.Addr(), "mtu", verbs.MTUBytes(mtu), "segments", f.Segments, "gro", f.GRO,
			"steering", f.Steering, "receive_buffer", f.ReceiveBuffer)
	}
	return carrier.Stop, nil
}

// pathMTU is the code of the path MTU whose packets fit the underlay, whatever is in them.
func pathMTU(host netip.Addr) (uint8, error) {
	underlay, err := udp.UnderlayMTU(host)
	if err != nil {
		return 0, err
	}
	n := udp.PathMTU(underlay, udp.Encapsulation{OuterV6: host.Is6(), Geneve: true, Options: wire.SteerSize, InnerV6: true})
	if n == 0 {
		return 0, fmt.Errorf("the MTU of %s's interface is %d: RoCE needs more (1500 gives a path MTU of 1024, 4300 one of 4096)", host, underlay)
	}
	return uint8(bits.Len(uint(n)) - bits.Len(128)), nil
}
