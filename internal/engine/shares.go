package engine

import "math"

// shares is the discipline of New: strict classes, and in a class weighted fair shares (fair.go). Where nobody has asked for either, items take turns by
// deficit round robin.
//
// A higher class that has work goes first. Where it has just had some, its program is likely to come back with the next message, and it needs the
// core for that, which workers do not leave to programs while they have work. So while a higher class is awake, a lower one has short turns
// only, with a lull before each in which the program can run and ring, and after each the worker looks for rings. A higher class that rings in every
// lull leaves a short turn each patience to the lower. So a ping-pong of a higher class is what it is alone but for a short turn now and then.
type shares struct {
	fair  *fair
	slot  int // the worker's
	fifo  queue
	class [numClasses]byTime
	n     int // in class

	ran   [numClasses]int64 // when an item of the class last had a turn here; 0: never
	held  [numClasses]int64 // since when the class is held back; 0: it is not
	lower int64             // when the last turn ended that an item had while a higher class was awake
	next  int64
	from  uint8 // class of the item that runs
	hasty bool
}

const (
	awake    = 1_000_000   // ns for which a class is awake after a turn
	lull     = 50_000      // ns
	patience = 100_000     // ns
	short    = Quantum / 4 // bytes
)

// Len is Scheduler's.
func (s *shares) Len() int { return s.fifo.n + s.n }

// Next is Scheduler's.
func (s *shares) Next() int64 { return s.next }

// Hasty is Scheduler's.
func (s *shares) Hasty() bool { return s.hasty }

// Push is Scheduler's.
func (s *shares) Push(it *Item, now int64) {
	if !s.fair.on.Load() {
		s.fifo.push(it)
		return
	}
	c := it.class()
	if was := it.was; was != c {
		s.show(was, s.least(was), now) // it was said to be ready there
	}
	s.fair.arrive(it, c, now)
	s.class[c].push(it)
	s.n++
}

// Pop is Scheduler's.
func (s *shares) Pop(now int64) (*Item, int) {
	if s.hasty {
		s.hasty, s.lower = false, now
	}
	if it := s.fifo.pop(); it != nil || s.n == 0 {
		s.from, s.next = ClassNormal, 0
		return it, Quantum
	}
	return s.choose(now)
}

// choose takes the item that goes next by class and time.
func (s *shares) choose(now int64) (*Item, int) {
	s.next = 0
	for c := int(ClassHigh); c >= 0; c-- {
		h := &s.class[c]
		if len(*h) == 0 {
			continue
		}
		budget := Quantum
		if last := s.above(c); last != 0 && now-last < awake {
			if at := min(max(last, s.lower)+lull, s.lower+patience); now < at {
				s.sooner(at)
				for below := c; below >= 0; below-- {
					s.show(uint8(below), 0, now)
				}
				return nil, 0
			}
			s.hasty, budget = true, short
		}
		it := (*h)[0]
		s.show(uint8(c), it.v, now)
		if s.fair.ahead(s.slot, it, uint8(c), now) && !s.tired(c, now) {
			s.sooner(now + holdStep)
			continue
		}
		s.held[c] = 0
		h.pop()
		s.n--
		s.from, s.next = uint8(c), 0
		s.fair.starts(it, s.from)
		return it, budget
	}
	return nil, 0
}

// tired reports whether the class has been held back here for so long that somebody may go, whatever the others do.
func (s *shares) tired(c int, now int64) bool {
	if s.held[c] == 0 {
		s.held[c] = now
	}
	return now-s.held[c] > holdMost
}

// above is when a class higher than c last had a turn; 0: never.
func (s *shares) above(c int) (last int64) {
	for _, at := range s.ran[c+1:] {
		last = max(last, at)
	}
	return last
}

func (s *shares) sooner(at int64) {
	if s.next == 0 || at < s.next {
		s.next = at
	}
}

// Ran is Scheduler's.
func (s *shares) Ran(it *Item, used int, v Verdict, now int64) {
	if !s.fair.on.Load() && !it.busy {
		return
	}
	c := s.from
	s.ran[c] = now
	s.fair.used(it, max(used, MessageCost), v)
	if it.busy && v != More {
		s.fair.ended(it, v, now)
	}
	least := s.least(c)
	if v == More {
		least = min(least, it.v)
	}
	s.show(c, least, now)
}

// show tells other workers the least time of what is ready in a class, unless that waits for a higher class here, which they need not wait for.
func (s *shares) show(c uint8, v float64, now int64) {
	if last := s.above(int(c)); last != 0 && now-last < awake {
		v = math.Inf(1)
	}
	s.fair.show(s.slot, c, v)
}

// least is the least time of what is ready in a class.
func (s *shares) least(c uint8) float64 {
	if len(s.class[c]) == 0 {
		return math.Inf(1)
	}
	return s.class[c][0].v
}

// Take is Scheduler's.
func (s *shares) Take() *Item {
	if it := s.fifo.pop(); it != nil {
		return it
	}
	for c := range s.class {
		if it := s.class[c].last(); it != nil {
			s.n--
			s.fair.show(s.slot, uint8(c), s.least(uint8(c)))
			return it
		}
	}
	return nil
}

// byTime is a heap of items: the first is the one whose virtual time is least.
type byTime []*Item

func (h *byTime) push(it *Item) {
	*h = append(*h, it)
	q := *h
	for i := len(q) - 1; i > 0; {
		parent := (i - 1) / 2
		if q[parent].v <= q[i].v {
			return
		}
		q[parent], q[i] = q[i], q[parent]
		i = parent
	}
}

func (h *byTime) pop() {
	q := *h
	n := len(q) - 1
	q[0] = q[n]
	q[n] = nil
	*h = q[:n]
	for i := 0; ; {
		child := 2*i + 1
		if child >= n {
			return
		}
		if child+1 < n && q[child+1].v < q[child].v {
			child++
		}
		if q[i].v <= q[child].v {
			return
		}
		q[i], q[child] = q[child], q[i]
		i = child
	}
}

// last takes one that is not first, unless it is alone.
func (h *byTime) last() *Item {
	q := *h
	if len(q) == 0 {
		return nil
	}
	it := q[len(q)-1]
	q[len(q)-1] = nil
	*h = q[:len(q)-1]
	return it
}
