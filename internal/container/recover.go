package container

import (
	"fmt"
	"os"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// ReturnTime is how long containers of an earlier router have to register again.
const ReturnTime = 30 * time.Second

// Recover finds out what an earlier router of this run directory left, after the networks were added. The
// addresses of containers that are still alive are kept for them, for ReturnTime; all else is removed. It gives the IDs of those alive;
// gone is told of each that does not come back.
func (h *Host) Recover(gone func(id string)) (map[string]bool, error) {
	left, err := h.net.Left()
	if err != nil {
		return nil, err
	}
	alive := make(map[string]bool)
	for _, port := range left {
		h.registry.Expect(port.Container, port.Network, port.IP)
		alive[port.Container] = true
	}
	entries, err := os.ReadDir(containersDir(h.runDir))
	if err != nil {
		return nil, fmt.Errorf("look for what an earlier router left: %w", err)
	}
	for _, e := range entries {
		if !alive[e.Name()] {
			if err := os.RemoveAll(h.containerDir(e.Name())); err != nil {
				return nil, fmt.Errorf("remove what an earlier router left: %w", err)
			}
		}
	}
	if len(left) > 0 {
		h.log.Info("waiting for containers of an earlier router", "containers", len(left))
		h.expiry = time.AfterFunc(ReturnTime, func() { h.expire(left, gone) })
	}
	return alive, nil
}

// expire gives up on those that did not come back.
func (h *Host) expire(left []vnet.Port, gone func(id string)) {
	for _, port := range left {
		if !h.registry.Retire(port.Container) {
			continue
		}
		if err := h.net.Detach(port); err != nil {
			h.log.Warn("a container's network is left", "container", port.Container, "error", err)
		}
		if err := os.RemoveAll(h.containerDir(port.Container)); err != nil {
			h.log.Warn("a container's files are left", "container", port.Container, "error", err)
		}
		h.registry.Forget(port.Container)
		gone(port.Container)
	}
}
