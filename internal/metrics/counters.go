package metrics

import pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"

// numbers are the counters that have a field of their own.
func numbers(c *pb.Counters) []*uint64 {
	return []*uint64{
		&c.TxBytes, &c.RxBytes, &c.TxMessages, &c.RxMessages, &c.TxPackets, &c.RxPackets, &c.RnrWaits, &c.Retransmits, &c.Timeouts,
		&c.SequenceErrors, &c.Duplicates, &c.CnpsSent, &c.CnpsReceived, &c.LimitedNs, &c.Refused,
	}
}

// families are those that have a name each.
func families(c *pb.Counters) []*map[string]uint64 {
	return []*map[string]uint64{&c.Operations, &c.Errors, &c.Drops, &c.Denied, &c.Rdma}
}

// walk makes each counter of into be what f makes of it and of the other's.
func walk(into, other *pb.Counters, f func(a, b uint64) uint64) {
	theirs := numbers(other)
	for i, n := range numbers(into) {
		*n = f(*n, *theirs[i])
	}
	named := families(other)
	for i, m := range families(into) {
		for name, b := range *named[i] {
			if *m == nil {
				*m = make(map[string]uint64)
			}
			(*m)[name] = f((*m)[name], b)
		}
	}
}
