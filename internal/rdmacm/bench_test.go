package rdmacm

import (
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
)

// BenchmarkConnect makes and ends a connection beside ten thousand that are open: all commands, events and messages of both sides.
func BenchmarkConnect(b *testing.B) {
	t := &testing.T{}
	w := newWorld(t, 2)
	client, server := w.program(w.container(0, "a", clientAddr)), w.program(w.container(1, "b", serverAddr))
	server.listening(uapi.PortSpaceTCP, "0.0.0.0:80", 0)
	qpn := uint32(0)
	open := func() (c, s uint32) {
		qpn++
		c = client.resolved(uapi.PortSpaceTCP, "10.77.0.2:80")
		client.connect(c, qpn, "")
		s = server.event(uapi.UCMConnectRequest, 0).ID
		server.accept(s, qpn, "")
		client.event(uapi.UCMConnectResponse, 0)
		client.ready(c)
		server.event(uapi.UCMEstablished, 0)
		return c, s
	}
	for range 10_000 {
		open()
	}
	b.ReportAllocs()
	for b.Loop() {
		c, s := open()
		client.destroy(c)
		w.run()
		server.event(uapi.UCMDisconnected, 0)
		server.destroy(s)
		w.run()
	}
}
