package cluster

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// MR is a memory region as the memory map shows it.
type MR struct {
	ID        uint64 // the router's own number, never used again
	Container Name
	PID       uint32
	LKey      uint32
	RKey      uint32
	Addr      uint64
	Length    uint64
	Access    uint32
}

// The memory map is told at a bounded rate: so many changes in one report, so much time between two. A region that
// comes and goes in between is never told.
const (
	mrsPerReport   = 500
	reportInterval = 500 * time.Millisecond
)

// memoryMap is this host's part of it: what there is, and what of that the orchestrator has not been told.
type memoryMap struct {
	mu      sync.Mutex
	all     map[uint64]*pb.MR
	told    map[uint64]bool // the orchestrator has it
	adds    map[uint64]bool // to be told
	removes map[uint64]bool
	reset   bool // nothing has been told
	wake    chan struct{}
}

func (m *memoryMap) init() {
	m.all, m.told = make(map[uint64]*pb.MR), make(map[uint64]bool)
	m.adds, m.removes = make(map[uint64]bool), make(map[uint64]bool)
	m.wake = make(chan struct{}, 1)
}

// AddMR puts a region in the memory map. It waits for nobody.
func (c *Client) AddMR(r MR) {
	m := &c.mrs
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all[r.ID] = &pb.MR{Id: r.ID, Network: r.Container.Network, Container: r.Container.Name, Pid: r.PID,
		Lkey: r.LKey, Rkey: r.RKey, Addr: r.Addr, Length: r.Length, Access: r.Access}
	m.adds[r.ID] = true
	m.poke()
}

// RemoveMR takes a region out of the memory map. It waits for nobody.
func (c *Client) RemoveMR(id uint64) {
	m := &c.mrs
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, id)
	delete(m.adds, id)
	if m.told[id] {
		m.removes[id] = true
	}
	m.poke()
}

func (m *memoryMap) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// restart makes everything be told anew.
func (m *memoryMap) restart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reset = true
	clear(m.told)
	clear(m.removes)
	clear(m.adds)
	for id := range m.all {
		m.adds[id] = true
	}
	m.poke()
}

// next takes what the next report says; nil if there is nothing.
func (m *memoryMap) next() *pb.ReportMRsRequest {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &pb.ReportMRsRequest{Reset_: m.reset}
	for id := range m.removes {
		if len(r.Removed) == mrsPerReport {
			break
		}
		r.Removed = append(r.Removed, id)
		delete(m.removes, id)
		delete(m.told, id)
	}
	ids := slices.Collect(maps.Keys(m.adds))
	ids = ids[:min(len(ids), mrsPerReport-len(r.Removed))]
	for _, id := range ids {
		r.Added = append(r.Added, m.all[id])
		delete(m.adds, id)
		m.told[id] = true
	}
	if len(m.adds)+len(m.removes) > 0 {
		m.poke()
	}
	if !m.reset && len(r.Added)+len(r.Removed) == 0 {
		return nil
	}
	m.reset = false
	return r
}

// reportMRs tells the memory map until something goes wrong; then the next session tells all of it.
func (c *Client) reportMRs(ctx context.Context, e *endpoint) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.mrs.wake:
		}
		if r := c.mrs.next(); r != nil {
			op, cancel := context.WithTimeout(ctx, syncPatience)
			_, err := e.router.ReportMRs(op, connect.NewRequest(r))
			cancel()
			if err != nil {
				return err
			}
		}
		if !sleep(ctx, reportInterval) {
			return ctx.Err()
		}
	}
}
