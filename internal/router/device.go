package router

import (
	"log/slog"

	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// newDevice makes the host's virtual NIC.
func newDevice(log *slog.Logger, eng *engine.Engine) *verbs.Device {
	return verbs.NewDevice(log, eng, idle{})
}

// idle carries nothing.
type idle struct{}

// Run is verbs.Carrier's.
func (idle) Run(*engine.Worker, *verbs.QP, int) engine.Verdict { return engine.Idle }
