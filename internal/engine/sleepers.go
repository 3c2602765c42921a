package engine

// sleeper is an item that said Wait, and until when. It may have been scheduled and run since, here or elsewhere: its time is then a false alarm.
type sleeper struct {
	it *Item
	at int64
}

// sleepers is a heap: the first is who wakes up next.
type sleepers []sleeper

func (h *sleepers) push(s sleeper) {
	*h = append(*h, s)
	q := *h
	for i := len(q) - 1; i > 0; {
		parent := (i - 1) / 2
		if q[parent].at <= q[i].at {
			return
		}
		q[parent], q[i] = q[i], q[parent]
		i = parent
	}
}

func (h *sleepers) pop() *Item {
	q := *h
	first := q[0].it
	last := len(q) - 1
	q[0] = q[last]
	q[last] = sleeper{}
	q = q[:last]
	*h = q
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return first
		}
		if child+1 < last && q[child+1].at < q[child].at {
			child++
		}
		if q[i].at <= q[child].at {
			return first
		}
		q[i], q[child] = q[child], q[i]
		i = child
	}
}
