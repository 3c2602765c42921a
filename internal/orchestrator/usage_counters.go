package orchestrator

import (
	"math"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// What can be done with counters: they only grow, so the larger of two values of one is the later.

// numbersOf are the counters that have a field of their own.
func numbersOf(c *pb.Counters) []*uint64 {
	return []*uint64{
		&c.TxBytes, &c.RxBytes, &c.TxMessages, &c.RxMessages, &c.TxPackets, &c.RxPackets, &c.RnrWaits, &c.Retransmits, &c.Timeouts,
		&c.SequenceErrors, &c.Duplicates, &c.CnpsSent, &c.CnpsReceived, &c.LimitedNs, &c.Refused,
	}
}

// familiesOf are those that have a name each.
func familiesOf(c *pb.Counters) []*map[string]uint64 {
	return []*map[string]uint64{&c.Operations, &c.Errors, &c.Drops, &c.Denied, &c.Rdma}
}

// combine makes each counter of into be what f makes of it and of the other's.
func combine(into, other *pb.Counters, f func(a, b uint64) uint64) {
	if other == nil {
		other = &pb.Counters{}
	}
	theirs := numbersOf(other)
	for i, n := range numbersOf(into) {
		*n = f(*n, *theirs[i])
	}
	families := familiesOf(other)
	for i, m := range familiesOf(into) {
		for name, b := range *families[i] {
			if *m == nil {
				*m = make(map[string]uint64)
			}
			(*m)[name] = f((*m)[name], b)
		}
	}
}

// raise takes what is later.
func raise(into, seen *pb.Counters) {
	combine(into, seen, func(a, b uint64) uint64 { return max(a, b) })
}

// add adds up, up to what fits.
func add(into, more *pb.Counters) { combine(into, more, plus) }

func plus(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

// minus is how much is between two values of a counter; none if it did not grow.
func minus(now, before uint64) uint64 { return now - min(now, before) }

// grown is how much was counted since before; nil if nothing.
func grown(now, before *pb.Counters) *pb.Counters {
	d := &pb.Counters{}
	raise(d, now)
	combine(d, before, minus)
	if nothing(d) {
		return nil
	}
	for _, m := range familiesOf(d) {
		for name, n := range *m {
			if n == 0 {
				delete(*m, name)
			}
		}
	}
	return d
}

func nothing(c *pb.Counters) bool {
	for _, n := range numbersOf(c) {
		if *n != 0 {
			return false
		}
	}
	for _, m := range familiesOf(c) {
		for _, n := range *m {
			if n != 0 {
				return false
			}
		}
	}
	return true
}

// sum adds a family's counters up.
func sum(family map[string]uint64) (total uint64) {
	for _, n := range family {
		total = plus(total, n)
	}
	return total
}
