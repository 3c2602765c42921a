package engine

import (
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/mem"
)

// Worker is one goroutine of the engine. Only Run, on this worker, may call its methods; fields below mu
// are for others too.
type Worker struct {
	Name    string
	Scratch mem.Scratch // of the item that runs
	e       *Engine
	index   int
	cpu     int
	urgent  bool
	spins   bool

	sched      Scheduler   // items in turn
	spent      int         // of the budget, by the item that runs
	waiting    sleepers    // items that said Wait
	near       int         // of them for a moment only
	muted      []muted     // doorbells that are not watched for a while
	moderated  []*source   // sources that this worker looks at by timer
	polled     []*Doorbell // doorbells this worker looks at by timer (fast: by spinning)
	now        int64
	lookAt     int64 // next look at the polled doorbells
	tid        int   // thread that has the core and priority
	checkedAt  int64 // when the worker last saw itself on it
	complained bool
	idle       bool // nothing has rung for a while: wait where the scheduler sees it
	ep         int
	alarmFD    int   // a timer for sleepers whose time is not near
	alarmAt    int64 // when it goes off; 0: it does not
	events     [64]unix.EpollEvent

	seq     atomic.Uint64 // odd while objects may be held (Engine.Quiesce)
	mu      sync.Mutex
	inbox   []*Item
	adopted []*Doorbell
	kickFD  int
	mail    atomic.Bool  // inbox or adopted is not empty
	load    atomic.Int32 // items in sched, as others may know it

	egress atomic.Pointer[egress]

	// Counters for whoever wants to know how the engine fares.
	Wakeups, Turns, Looks, Mutes, Given, Arrivals, Moderated, Held atomic.Uint64
}

// Slots of epoll events: doorbells have theirs from 0 up, sources theirs from sourceSlot down.
const (
	kickSlot   = -1
	alarmSlot  = -2
	sourceSlot = -3
	checkEvery = 50_000 // ns of work between looks for new rings
)

func (w *Worker) open() (err error) {
	if w.ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if w.kickFD, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	if err = w.watch(w.kickFD, kickSlot); err != nil {
		return err
	}
	if w.alarmFD, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return err
	}
	return w.watch(w.alarmFD, alarmSlot)
}

func (w *Worker) close() {
	_ = unix.Close(w.kickFD)
	_ = unix.Close(w.alarmFD)
	_ = unix.Close(w.ep)
}

func (w *Worker) watch(fd, slot int) error {
	return unix.EpollCtl(w.ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(slot)})
}

func (w *Worker) unwatch(fd int) { _ = unix.EpollCtl(w.ep, unix.EPOLL_CTL_DEL, fd, nil) }

// kick wakes the worker. Any goroutine.
func (w *Worker) kick() {
	one := [8]byte{1}
	_, _ = unix.Write(w.kickFD, one[:])
}

// leave puts something into the worker's mailbox: put runs under its lock. Any goroutine.
func (w *Worker) leave(put func()) {
	w.mu.Lock()
	put()
	w.mail.Store(true)
	w.mu.Unlock()
	w.kick()
}

// post gives the worker an item that the caller has claimed. Any goroutine.
func (w *Worker) post(it *Item) {
	w.leave(func() { w.inbox = append(w.inbox, it) })
}

// adopt makes the worker look at a doorbell by itself. Any goroutine.
func (w *Worker) adopt(d *Doorbell) {
	w.leave(func() { w.adopted = append(w.adopted, d) })
}

// Now is the worker's monotonic time in nanoseconds, read at the last wake-up or turn.
func (w *Worker) Now() int64 { return w.now }

// Schedule lets another item run soon, from within Run.
func (w *Worker) Schedule(it *Item) {
	if it.claim() {
		w.sched.Push(it, w.now)
	}
}

// Spend says how much of its budget the item that runs has used. From within Run; what is not said counts as a message.
func (w *Worker) Spend(n int) { w.spent += n }

// loop is the worker's life: take what rang, let items take turns, sleep.
func (w *Worker) loop() {
	defer w.e.running.Done()
	defer w.unsettle()
	n := 0
	for !w.e.closed.Load() {
		w.seq.Add(1)
		w.now = nanotime()
		if w.now-w.checkedAt > checkThread {
			w.settle()
		}
		w.takeRings(n)
		if w.mail.Load() {
			w.takeMail()
		}
		w.look()
		if len(w.moderated) > 0 {
			w.lookAtSources()
		}
		if len(w.muted) > 0 {
			w.unmute()
		}
		w.wakeWaiting()
		w.share()
		w.runTurns()
		w.flush()
		w.seq.Add(1)
		n = w.sleep()
	}
}

// takeRings queues the items of the doorbells that woke the worker.
func (w *Worker) takeRings(n int) {
	if n <= 0 {
		return
	}
	w.Wakeups.Add(1)
	slots := *w.e.slots.Load()
	for i := range n {
		slot := int(w.events[i].Fd)
		if slot == alarmSlot {
			w.alarmAt = 0
		}
		if slot <= sourceSlot {
			w.takeSource(slot)
			continue
		}
		if slot < 0 || slot >= len(slots) || slots[slot] == nil {
			continue
		}
		d := slots[slot]
		if d.gone.Load() {
			continue
		}
		w.collect(d)
		w.judge(d)
	}
}

// judge decides whether a doorbell that has just woken the worker shall go on doing so.
func (w *Worker) judge(d *Doorbell) {
	if d.mode == Fast {
		return
	}
	k := d.wakeOf(w)
	if pause := k.quiet.woken(); pause > 0 {
		w.mute(d, k, pause)
		return
	}
	if d.owner.Load() == nil && k.strm.woken(w.now) && d.owner.CompareAndSwap(nil, w) {
		w.startPolling(d)
	}
}

// mute stops a program that rings for nothing from waking the worker for a while. Watching its eventfd again finds what was rung.
func (w *Worker) mute(d *Doorbell, k *wake, pause int64) {
	w.Mutes.Add(1)
	w.unwatch(k.fd)
	w.muted = append(w.muted, muted{d, k, w.now + pause})
}

// unmute watches the doorbells again whose pause is over.
func (w *Worker) unmute() {
	w.muted = slices.DeleteFunc(w.muted, func(m muted) bool {
		if w.now < m.till && !m.d.gone.Load() && !m.k.quiet.lifted() {
			return false
		}
		if !m.d.gone.Load() {
			_ = w.watch(m.k.fd, m.d.slot)
		}
		return true
	})
}

func (w *Worker) collect(d *Doorbell) {
	d.bell.collect(func(handle uint32) {
		if it := d.find(handle); it == nil {
			return
		} else if it.claim() {
			w.sched.Push(it, w.now)
		} else {
			d.wakeOf(w).quiet.held = true
		}
	})
}

// look goes over the doorbells that this worker polls.
func (w *Worker) look() {
	if len(w.polled) == 0 || !w.spins && w.now < w.lookAt {
		return
	}
	w.Looks.Add(1)
	for i := 0; i < len(w.polled); {
		d := w.polled[i]
		if d.gone.Load() {
			w.polled = slices.Delete(w.polled, i, i+1)
			continue
		}
		if d.mode != Fast && !d.wakeOf(w).strm.looked(w.now) {
			w.stopPolling(d)
			w.polled = slices.Delete(w.polled, i, i+1)
			continue
		}
		w.collect(d)
		i++
	}
	w.lookAt = w.now + streamTick
}

// startPolling tells the program that it need not ring; the look after the store finds what was rung before it.
func (w *Worker) startPolling(d *Doorbell) {
	d.bell.storePoll(true)
	if len(w.polled) == 0 {
		w.lookAt = w.now + streamTick
	}
	w.polled = append(w.polled, d)
	w.collect(d)
}

// stopPolling goes back to being woken; the look after the store finds what was rung in silence.
func (w *Worker) stopPolling(d *Doorbell) {
	d.bell.storePoll(false)
	w.collect(d)
	d.owner.Store(nil)
}

// takeMail takes what others left for this worker.
func (w *Worker) takeMail() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mail.Store(false)
	for _, it := range w.inbox {
		w.sched.Push(it, w.now)
	}
	w.inbox = w.inbox[:0]
	w.polled = append(w.polled, w.adopted...)
	w.adopted = nil
}

// runTurns lets items take turns until there are none, or it is time to look for new rings.
func (w *Worker) runTurns() {
	until := w.now + checkEvery
	for {
		it, budget := w.sched.Pop(w.now)
		if it == nil {
			if w.sched.Len() > 0 {
				w.Held.Add(1)
			}
			return
		}
		w.turn(it, budget)
		w.press()
		if w.sched.Len() == 0 || w.sched.Hasty() {
			return
		}
		if w.now = nanotime(); w.now >= until {
			return
		}
	}
}

func (w *Worker) turn(it *Item, budget int) {
	w.Turns.Add(1)
	it.state.Store(itemRunning)
	w.spent = 0
	v := it.runner.Run(w, budget)
	w.sched.Ran(it, w.spent, v, w.now)
	switch v {
	case More:
		it.state.Store(itemQueued)
		w.sched.Push(it, w.now)
	case Wait:
		w.sleepUntil(it, it.WakeAt) // first: another worker may have it as soon as it is waiting
		if it.state.CompareAndSwap(itemRunning, itemWaiting) {
			return
		}
		it.state.Store(itemQueued)
		w.sched.Push(it, w.now)
	default:
		if !it.state.CompareAndSwap(itemRunning, itemIdle) {
			it.state.Store(itemQueued)
			w.sched.Push(it, w.now)
		}
	}
}

// Later says that an item has work that cannot be done before WakeAt, however often its program rings.
func (w *Worker) Later(it *Item) { it.bell.wakeOf(w).quiet.needless += laterWakes - 1 }

// Did counts messages that an item has done: its program did not ring for nothing.
func (w *Worker) Did(it *Item, messages int) {
	k := it.bell.wakeOf(w)
	k.strm.messages += messages
	k.quiet.done += messages
}

// Bulk says that an item moves much, in few messages: its program need not ring for each of them, the worker looks. From within Run.
func (w *Worker) Bulk(it *Item) {
	d := it.bell
	if d.mode == Fast {
		return
	}
	if o := d.owner.Load(); o == nil && d.owner.CompareAndSwap(nil, w) {
		d.wakeOf(w).strm.begin()
		w.startPolling(d)
	} else if o != w {
		return
	}
	d.wakeOf(w).strm.bulk = w.now + bulkHold
}

// timeout is how long the worker may sleep in ns; -1 for ever.
func (w *Worker) timeout() int64 {
	if w.mail.Load() || w.spins && len(w.polled) > 0 {
		return 0
	}
	at := int64(-1)
	if w.sched.Len() > 0 {
		if at = w.sched.Next(); at <= w.now {
			return 0
		}
	}
	if len(w.polled) > 0 && (at < 0 || w.lookAt < at) {
		at = w.lookAt
	}
	if t := w.nextSource(); t >= 0 && (at < 0 || t < at) {
		at = t
	}
	if len(w.waiting) > 0 && (at < 0 || w.waiting[0].at < at) && (w.near > 0 || !w.setAlarm(w.waiting[0].at)) {
		at = w.waiting[0].at
	}
	for _, m := range w.muted {
		if at < 0 || m.till < at {
			at = m.till
		}
	}
	if at < 0 {
		return -1
	}
	return max(at-nanotime(), 0)
}

// sleep waits for rings and gives the number of events.
func (w *Worker) sleep() int {
	t := w.timeout()
	if t == 0 && w.spins && w.sched.Len() == 0 {
		return 0
	}
	n, errno := epollWait(w.ep, w.events[:], t, w.idle)
	// An interruption is the Go scheduler's, which wants the processor of a thread that has been away for long.
	w.idle = errno == syscall.EINTR && t < 0
	return n
}
