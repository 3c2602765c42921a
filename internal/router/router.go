package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/container"
	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/fabric"
	"github.com/freeflow-rdma/freeflow/internal/fdconn"
	"github.com/freeflow-rdma/freeflow/internal/rdmacm"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// Config says how a router runs.
type Config struct {
	RunDir  string // sockets, the library, the containers' files
	DataDir string // what outlives a router: who it is in the cluster, and what it knows of it
	Mode    string // of containers that ask for none: auto, fast or low
	Log     *slog.Logger
	Library []byte // libfreeflow.so

	Orchestrators []string // URLs (cluster.Config)
	Token         string   // to join with
	// NewToken, if set, gives a token to join with where none is given and it turns out that one is needed.
	NewToken func(context.Context) (string, error)
	HostName string

	HostIP   netip.Addr     // of this host on the underlay; invalid: no other host is reached
	External []netip.Prefix // peers that are no routers, reached by plain RoCEv2 from HostIP

	MetricsListen string // address of an HTTP server for Prometheus; empty: none
}

// Run is the router of cfg.RunDir until ctx ends. Contexts that are open then get IBV_EVENT_DEVICE_FATAL; containers live on and register
// with the next router.
func Run(ctx context.Context, cfg Config) (err error) {
	mode, err := engine.ParseMode(cfg.Mode)
	if err != nil {
		return fmt.Errorf("start router: %w", err)
	}
	cfg.Mode = mode.String()
	lock, err := lockRunDir(cfg.RunDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	leadAutogroup(cfg.Log)
	files, err := raiseFileLimit()
	if err != nil {
		return err
	}
	if err := container.InstallLibrary(cfg.RunDir, cfg.Library); err != nil {
		return err
	}
	b := &backend{cfg: cfg, started: time.Now(), tenants: make(map[string]*verbs.Container)}
	client, err := join(ctx, cfg, b.lost)
	if err != nil {
		return err
	}
	defer client.Close()
	eng, err := engine.New(cfg.Log)
	if err != nil {
		return fmt.Errorf("start engine: %w", err)
	}
	defer eng.Close()
	host, err := container.NewHost(cfg.RunDir, cfg.Mode, cfg.Log)
	if err != nil {
		return fmt.Errorf("set up containers: %w", err)
	}
	defer func() { err = errors.Join(err, host.Close()) }()
	carrier := fabric.New()
	carrier.Bind(eng)
	dev := verbs.NewDevice(cfg.Log, eng, carrier)
	carrier.SetDevice(dev)
	cm := rdmacm.New(cfg.Log, dev, carrier)
	carrier.SetMADHandler(func(m *fabric.MAD) { cm.Receive(m.Container, m.Src, m.Dst, m.Bytes) })
	stop, err := openUnderlay(cfg, dev, carrier)
	if err != nil {
		return err
	}
	defer stop()
	defer cm.Close()
	if len(cfg.External) > 0 {
		host.ShareGID(cfg.HostIP)
	}
	member := newMember(cfg, client, parts{host, carrier, dev, cm})
	cm.Allow = member.gov.mayConnect
	if err := member.recover(); err != nil {
		return fmt.Errorf("set up containers: %w", err)
	}
	following, unfollow := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		member.follow(following)
	}()
	defer func() { unfollow(); <-done }()
	srv := newServer(device{dev}, cm, cfg.Log)
	srv.limit = perContainer(files)
	b.host, b.eng, b.dev, b.cm, b.srv, b.member = host, eng, dev, cm, srv, member
	end, err := b.meterUsage(ctx, client.ReportUsage)
	if err != nil {
		return err
	}
	defer end()
	return serve(ctx, cfg.RunDir, srv, b)
}

// serve opens both sockets and answers on them until ctx ends. The socket for programs comes first: whoever sees the admin
// socket can start a container. It is also the first to go, so that programs know at once.
func serve(ctx context.Context, runDir string, srv *server, b *backend) error {
	listener, err := fdconn.Listen(filepath.Join(runDir, SocketName), 0o666)
	if err != nil {
		return err
	}
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		srv.serve(listener)
	}()
	end := sync.OnceFunc(func() {
		listener.Close()
		<-accepting
		srv.close()
	})
	defer end()
	adm, err := admin.Listen(runDir, b, srv.log)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, end)()
	srv.log.Info("router is ready", "run_dir", runDir, "max_contexts", srv.limit)
	return adm.Serve(ctx)
}

// device is a *verbs.Device as sessions see it.
type device struct{ *verbs.Device }

// OpenContext opens the device for a process of the container.
func (d device) OpenContext(c *verbs.Container) (Context, error) {
	ctx, err := d.Device.OpenContext(c)
	if err != nil {
		return nil, fmt.Errorf("open context: %w", err)
	}
	return ctx, nil
}
