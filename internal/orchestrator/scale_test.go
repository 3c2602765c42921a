package orchestrator

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/api/freeflow/v1/freeflowv1connect"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

// A thousand hosts, each with a connection, a lease and a watch of its own, start ten containers each; every
// host hears of every container. How long that takes and what memory it costs is logged: servers and hosts are one process here.
func TestScale(t *testing.T) {
	hosts, each := 1000, 10
	if n, err := strconv.Atoi(os.Getenv("FREEFLOW_SCALE_HOSTS")); err == nil {
		hosts = n
	}
	if raceDetector || testing.Short() {
		hosts /= 10
	}
	s := startServer(t, Config{DataDir: memoryDir(t), HostTTL: maxHostTTL})
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	before := residentMB(t)

	sim := simulation{t: t, s: s, each: each, want: hosts * each, born: map[string]time.Time{}}
	began := time.Now()
	sim.join(ctx, hosts)
	t.Logf("%d hosts joined and watching: %s", hosts, time.Since(began).Round(time.Millisecond))

	began = time.Now()
	sim.inParallel(func(h *simulatedHost) { h.start(ctx, each) })
	t.Logf("%d containers registered: %s", hosts*each, time.Since(began).Round(time.Millisecond))
	sim.seen.Wait()
	t.Logf("every host knows every container: %s", time.Since(began).Round(time.Millisecond))
	sim.report()
	t.Logf("memory of orchestrator and hosts together: %d MB, %d MB at the start", residentMB(t), before)

	began = time.Now()
	var group sync.WaitGroup
	for i := range 300 {
		group.Go(func() { sim.hosts[0].register(ctx, fmt.Sprint("burst-", i)) })
	}
	group.Wait()
	t.Logf("300 containers at once on one host: %s", time.Since(began).Round(time.Millisecond))
	cancel()
	sim.ended.Wait()
}

type simulation struct {
	t     *testing.T
	s     *Server
	each  int // containers of a host
	want  int // of all
	hosts []*simulatedHost
	seen  sync.WaitGroup // hosts that have seen all of them
	ended sync.WaitGroup

	mu     sync.Mutex
	born   map[string]time.Time
	delays []time.Duration
}

type simulatedHost struct {
	sim    *simulation
	name   string
	router freeflowv1connect.RouterServiceClient
}

func (sim *simulation) join(ctx context.Context, n int) {
	sim.hosts = make([]*simulatedHost, n)
	token, err := sim.s.CreateToken(ctx, 0, false)
	if err != nil {
		sim.t.Fatal(err)
	}
	url := "https://" + sim.s.Addr().String()
	joiner := freeflowv1connect.NewRouterServiceClient(as(sim.s, nil), url)
	for i := range sim.hosts {
		sim.hosts[i] = &simulatedHost{sim: sim, name: fmt.Sprintf("host-%04d", i)}
	}
	ready := make(chan struct{}, n)
	sim.inParallel(func(h *simulatedHost) {
		var number int
		fmt.Sscanf(h.name, "host-%d", &number)
		key, err := ca.NewKey()
		if err != nil {
			sim.t.Error(err)
			return
		}
		csr, err := ca.Request(key)
		if err != nil {
			sim.t.Error(err)
			return
		}
		answer, err := joiner.Join(ctx, connect.NewRequest(&pb.JoinRequest{Token: token, Csr: csr, Host: h.name, Underlay: fmt.Sprintf("192.0.%d.%d", number/250, 1+number%250)}))
		if err != nil {
			sim.t.Error(err)
			return
		}
		cert := &tls.Certificate{Certificate: [][]byte{answer.Msg.Certificate}, PrivateKey: key}
		h.router = freeflowv1connect.NewRouterServiceClient(as(sim.s, cert), url)
		if _, err := h.router.Heartbeat(ctx, connect.NewRequest(&pb.HeartbeatRequest{})); err != nil {
			sim.t.Error(err)
			return
		}
		sim.seen.Add(1)
		sim.ended.Go(func() { h.watch(ctx, ready) })
	})
	for range n {
		select {
		case <-ready:
		case <-ctx.Done():
			sim.t.Fatal("not all hosts can watch")
		}
	}
}

// inParallel lets the hosts do something, not all in the same instant.
func (sim *simulation) inParallel(f func(*simulatedHost)) {
	var group sync.WaitGroup
	slots := make(chan struct{}, 64)
	for _, h := range sim.hosts {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			f(h)
		})
	}
	group.Wait()
	if sim.t.Failed() {
		sim.t.FailNow()
	}
}

func (h *simulatedHost) start(ctx context.Context, n int) {
	for i := range n {
		h.register(ctx, fmt.Sprintf("%s-%d", h.name, i))
	}
}

func (h *simulatedHost) register(ctx context.Context, name string) {
	_, err := h.router.RegisterContainer(ctx, connect.NewRequest(request(name)))
	for connect.CodeOf(err) == connect.CodeUnavailable && ctx.Err() == nil { // a machine too busy for etcd
		_, err = h.router.RegisterContainer(ctx, connect.NewRequest(request(name)))
	}
	if err != nil {
		h.sim.t.Error(err)
		return
	}
	h.sim.mu.Lock()
	h.sim.born[name] = time.Now()
	h.sim.mu.Unlock()
}

// watch counts containers, and takes note of how late it hears of some.
func (h *simulatedHost) watch(ctx context.Context, ready chan<- struct{}) {
	stream, err := h.router.Watch(ctx, connect.NewRequest(&pb.WatchRequest{}))
	if err != nil {
		h.sim.t.Error(err)
		return
	}
	defer stream.Close()
	known, first, count := make([]bool, h.sim.want), true, 0
	for stream.Receive() {
		if m := stream.Msg(); first && m.Snapshot && !m.More {
			first = false
			ready <- struct{}{}
		}
		now := time.Now()
		for _, c := range stream.Msg().Changes {
			name := c.GetContainer().GetName()
			i, ok := h.sim.number(name)
			if !ok || known[i] {
				continue
			}
			known[i] = true
			count++
			if count%97 == 0 {
				h.note(name, now)
			}
			if count == h.sim.want {
				h.sim.seen.Done()
			}
		}
	}
}

// number counts the containers; false if the name is none of theirs.
func (sim *simulation) number(name string) (int, bool) {
	host, container, ok := strings.Cut(strings.TrimPrefix(name, "host-"), "-")
	h, err := strconv.Atoi(host)
	c, err2 := strconv.Atoi(container)
	return h*sim.each + c, ok && err == nil && err2 == nil
}

// note keeps how long after its registration a container was heard of.
func (h *simulatedHost) note(name string, now time.Time) {
	h.sim.mu.Lock()
	defer h.sim.mu.Unlock()
	if born, ok := h.sim.born[name]; ok {
		h.sim.delays = append(h.sim.delays, now.Sub(born))
	}
}

func (sim *simulation) report() {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	if len(sim.delays) == 0 {
		return
	}
	slices.Sort(sim.delays)
	at := func(part float64) time.Duration {
		return sim.delays[int(part*float64(len(sim.delays)-1))].Round(time.Millisecond)
	}
	sim.t.Logf("from a registration's answer until a host hears of it: median %s, 99 %% %s, longest %s", at(0.5), at(0.99), at(1))
}

// memoryDir is a directory in memory: disks differ too much.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "ff")
	if err != nil {
		return shortDir(t)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// residentMB is what this process has in memory.
func residentMB(t *testing.T) int {
	t.Helper()
	runtime.GC()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var total, resident int
	if _, err := fmt.Sscan(string(text), &total, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * os.Getpagesize() >> 20
}
