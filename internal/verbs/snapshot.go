package verbs

import (
	"cmp"
	"slices"
)

// QPRow is a queue pair as operators see it.
type QPRow struct {
	Container                       *Container
	PID                             int
	Num                             QPN
	Type                            QPType
	State                           State
	DGID                            GID
	DestQPN                         QPN
	SentMessages, SentBytes         uint64
	ReceivedMessages, ReceivedBytes uint64
	RNRWaits, Retries, Errors       uint64
}

// MRRow is a registration as operators see it. Shared is the number of bytes that need no help of the process.
type MRRow struct {
	ID             uint64 // never another's on this host
	Container      *Container
	PID            int
	LKey           LKey
	RKey           RKey
	Start, Length  uint64
	Shared         uint64
	Access         Access
	WindowsBoundTo int
}

// SetPID notes whose context it is, for snapshots.
func (c *Context) SetPID(pid int) { c.pid.Store(int64(pid)) }

// QPs lists every queue pair of the host by number.
func (d *Device) QPs() []QPRow {
	var rows []QPRow
	d.qps.each(func(_ uint32, qp *QP) {
		a := qp.Attr()
		rows = append(rows, QPRow{Container: qp.ctx.cont, PID: int(qp.ctx.pid.Load()), Num: qp.Num, Type: qp.Type, State: qp.State(),
			DGID: a.AV.DGID, DestQPN: a.DestQPN,
			SentMessages: qp.Stats.SentMessages(), SentBytes: qp.Stats.SentBytes.Load() + qp.Stats.ReadBytes.Load(),
			ReceivedMessages: qp.Stats.ReceivedMessages.Load(), ReceivedBytes: qp.Stats.ReceivedBytes.Load(),
			RNRWaits: qp.Stats.RNRWaits.Load(), Retries: qp.Stats.Retries.Load(), Errors: qp.Stats.Errors.Load()})
	})
	return rows
}

// MRs lists every registration of the host by key.
func (d *Device) MRs() []MRRow {
	var rows []MRRow
	d.keys.each(func(_ uint32, r *region) {
		if r.owner == nil {
			return
		}
		rows = append(rows, r.row())
	})
	slices.SortFunc(rows, func(a, b MRRow) int { return cmp.Compare(a.LKey, b.LKey) })
	return rows
}

// row is a memory region for operators.
func (r *region) row() MRRow {
	row := MRRow{ID: r.owner.id, Container: r.pd.ctx.cont, PID: r.mem.proc.PID, LKey: LKey(r.key), Start: r.base, Length: r.length,
		Access: r.access, WindowsBoundTo: int(r.owner.refs.Load())}
	if r.remote {
		row.RKey = RKey(r.key)
	}
	for _, p := range r.mem.pieces {
		row.Shared += uint64(len(p.b))
	}
	row.Shared = min(row.Shared, row.Length)
	return row
}

// Contexts counts the open contexts of the host.
func (d *Device) Contexts() int { return d.ctxs.len() }
