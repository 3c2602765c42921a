package engine

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Mode says how a context's doorbells are served.
type Mode uint8

// The modes of the package comment.
const (
	Auto Mode = iota
	Fast
	Low
)

// ParseMode reads "auto", "fast" or "low"; empty is auto.
func ParseMode(s string) (Mode, error) {
	switch s {
	case "", "auto":
		return Auto, nil
	case "fast":
		return Fast, nil
	case "low":
		return Low, nil
	}
	return Auto, fmt.Errorf("engine mode %q: use auto, fast or low", s)
}

// String is what ParseMode reads.
func (m Mode) String() string { return [...]string{"auto", "fast", "low"}[m] }

// Quanta of the turns: a turn is Quantum bytes, and a message costs at least MessageCost of them.
const (
	Quantum     = 256 << 10
	MessageCost = 1 << 10
)

// Engine owns the workers. Close ends them.
type Engine struct {
	log      *slog.Logger
	cores    []*Worker // auto: one a core
	fast     *Worker
	low      *Worker
	all      []*Worker
	ofCPU    []uint8
	allowed  unix.CPUSet
	mu       sync.Mutex // of slots
	slots    atomic.Pointer[[]*Doorbell]
	sources  atomic.Pointer[[]*source]
	free     []int
	closed   atomic.Bool
	warnFast sync.Once
	running  sync.WaitGroup
	fair     fair
}

// Doorbell is a context's doorbell file and who serves it.
type Doorbell struct {
	bell  bell
	mode  Mode
	find  func(handle uint32) *Item
	slot  int
	wakes []wake
	files []*os.File             // the eventfds as the context's owner sees them
	owner atomic.Pointer[Worker] // who looks at it by timer
	gone  atomic.Bool
}

// wake is one eventfd of a doorbell and the worker that watches it, with what that worker alone knows of the ringing.
type wake struct {
	w     *Worker
	fd    int
	strm  stream
	quiet quiet
}

// wakeOf gives the doorbell's wake of a worker that serves it.
func (d *Doorbell) wakeOf(w *Worker) *wake {
	if d.mode == Auto {
		return &d.wakes[w.index]
	}
	return &d.wakes[0]
}

// New starts the workers: one a core that this process may run on, and the workers of the two other modes.
func New(log *slog.Logger) (*Engine, error) {
	e := &Engine{log: log}
	slots := []*Doorbell{}
	e.slots.Store(&slots)
	e.sources.Store(&[]*source{})
	cpus, err := e.allowedCPUs()
	if err != nil {
		return nil, err
	}
	// Workers wait in raw system calls and keep their P; control work needs its own.
	runtime.GOMAXPROCS(len(cpus) + 2 + max(2, len(cpus)))
	e.ofCPU = make([]uint8, cpus[len(cpus)-1]+1)
	for i, cpu := range cpus[:min(len(cpus), 128)] {
		e.ofCPU[cpu] = uint8(i)
		e.cores = append(e.cores, &Worker{Name: fmt.Sprintf("core%d", cpu), e: e, cpu: cpu, urgent: true})
	}
	e.fast = &Worker{Name: "fast", e: e, cpu: cpus[len(cpus)-1], spins: true}
	e.low = &Worker{Name: "low", e: e, cpu: -1}
	e.all = append(append(e.all, e.cores...), e.fast, e.low)
	e.fair.init(len(e.all))
	for i, w := range e.all {
		w.index = i
		w.sched = &shares{fair: &e.fair, slot: i}
		if err := w.open(); err != nil {
			e.Close()
			return nil, err
		}
	}
	for _, w := range e.all {
		e.running.Add(1)
		go w.loop()
	}
	return e, nil
}

// WorkerOfCPU says, for each CPU, which of a context's eventfds a thread there writes to.
func (e *Engine) WorkerOfCPU() []uint8 { return e.ofCPU }

// Add makes a doorbell that is served in a mode. find gives the item of a queue pair's handle, or nil; workers call it.
func (e *Engine) Add(mode Mode, find func(handle uint32) *Item) (*Doorbell, error) {
	b, err := newBell()
	if err != nil {
		return nil, err
	}
	d := &Doorbell{bell: b, mode: mode, find: find}
	workers := e.cores
	switch mode {
	case Fast:
		workers = []*Worker{e.fast}
		b.storePoll(true)
		if len(e.cores) <= 2 {
			e.warnFast.Do(func() {
				e.log.Warn("mode fast spins on a core that this host has not to spare; auto will be faster", "cores", len(e.cores))
			})
		}
	case Low:
		workers = []*Worker{e.low}
	}
	for _, w := range workers {
		f, err := newEventfd()
		if err != nil {
			d.close()
			return nil, fmt.Errorf("doorbell: %w", err)
		}
		d.files = append(d.files, f)
		d.wakes = append(d.wakes, wake{w: w, fd: int(f.Fd())})
	}
	e.mu.Lock()
	d.slot = e.newSlot(d)
	e.mu.Unlock()
	for i := range d.wakes {
		k := &d.wakes[i]
		if err := k.w.watch(k.fd, d.slot); err != nil {
			e.Remove(d)
			return nil, fmt.Errorf("doorbell: %w", err)
		}
	}
	if mode == Fast {
		e.fast.adopt(d)
	}
	return d, nil
}

// newEventfd makes a non-blocking eventfd. It is made non-blocking only once the os package has it, which would else let the Go
// runtime's poller watch it too: a wake-up of another thread for every ring.
func newEventfd() (*os.File, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "freeflow-wake")
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func (e *Engine) newSlot(d *Doorbell) int {
	old := *e.slots.Load()
	if n := len(e.free); n > 0 {
		i := e.free[n-1]
		e.free = e.free[:n-1]
		slots := append([]*Doorbell(nil), old...)
		slots[i] = d
		e.slots.Store(&slots)
		return i
	}
	slots := append(append([]*Doorbell(nil), old...), d)
	e.slots.Store(&slots)
	return len(slots) - 1
}

// Remove takes a doorbell out of service. When it returns no worker looks at it.
func (e *Engine) Remove(d *Doorbell) {
	d.gone.Store(true)
	d.unwatch()
	e.mu.Lock()
	slots := append([]*Doorbell(nil), *e.slots.Load()...)
	slots[d.slot] = nil
	e.slots.Store(&slots)
	e.mu.Unlock()
	e.Quiesce()
	d.unwatch() // again: a worker may have unmuted it meanwhile, and the program's copy keeps an eventfd alive in an epoll
	e.mu.Lock()
	e.free = append(e.free, d.slot)
	e.mu.Unlock()
	d.close()
}

func (d *Doorbell) unwatch() {
	for i := range d.wakes {
		d.wakes[i].w.unwatch(d.wakes[i].fd)
	}
}

func (d *Doorbell) close() {
	for _, f := range d.files {
		_ = f.Close()
	}
	d.bell.close()
}

// File is the doorbell file. It belongs to the doorbell.
func (d *Doorbell) File() *os.File { return d.bell.file }

// Wakers are the eventfds, one for each worker that serves this doorbell. They belong to the doorbell.
func (d *Doorbell) Wakers() []*os.File { return d.files }

// Ring does what the program's doorbell does, from inside the router.
func (e *Engine) Ring(d *Doorbell, handle uint32) {
	if it := d.find(handle); it != nil {
		e.Schedule(it)
	}
}

// Schedule lets an item run soon, on a worker of its doorbell's mode. Any goroutine may call it; a worker that
// schedules from within Run uses Worker.Schedule, which is cheaper.
func (e *Engine) Schedule(it *Item) {
	if !it.claim() {
		return
	}
	w := e.low
	if ws := it.bell.wakes; len(ws) > 0 {
		w = ws[0].w
	}
	w.post(it)
}

// Quiesce waits until every worker has passed a point at which it holds no object: what was unlinked before the
// call is used by none after it. It sleeps; workers must not call it.
func (e *Engine) Quiesce() {
	for _, w := range e.all {
		seen := w.seq.Load()
		for wait := time.Microsecond; seen&1 == 1 && w.seq.Load() == seen; wait = min(2*wait, time.Millisecond) {
			time.Sleep(wait)
		}
	}
}

// Close ends the workers. Doorbells should have been removed.
func (e *Engine) Close() {
	e.closed.Store(true)
	for _, w := range e.all {
		w.kick()
	}
	e.running.Wait()
	for _, w := range e.all {
		w.close()
	}
}

// allowedCPUs lists the CPUs that this process may run on.
func (e *Engine) allowedCPUs() ([]int, error) {
	set := &e.allowed
	if err := unix.SchedGetaffinity(0, set); err != nil {
		return nil, fmt.Errorf("sched_getaffinity: %w", err)
	}
	var cpus []int
	for i := range 8 * len(set) * 8 {
		if set.IsSet(i) {
			cpus = append(cpus, i)
		}
	}
	return cpus, nil
}
