package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/container"
	"github.com/freeflow-rdma/freeflow/internal/engine"
	"github.com/freeflow-rdma/freeflow/internal/fabric/local"
	"github.com/freeflow-rdma/freeflow/internal/fdconn"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// DefaultPrefix are the addresses of the network named default.
var DefaultPrefix = netip.MustParsePrefix("10.77.0.0/16")

// Config says how a router runs.
type Config struct {
	RunDir  string       // sockets, the library, the containers' files
	DataDir string       // what outlives a router; nothing yet
	Network netip.Prefix // of the network named default; DefaultPrefix if zero
	Mode    string       // of containers that ask for none: auto, fast or low
	Log     *slog.Logger
	Library []byte // libfreeflow.so
}

// Run is the router of cfg.RunDir until ctx ends. Contexts that are open then get IBV_EVENT_DEVICE_FATAL; containers live on and register
// with the next router.
func Run(ctx context.Context, cfg Config) (err error) {
	if cfg.Network == (netip.Prefix{}) {
		cfg.Network = DefaultPrefix
	}
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
	files, err := raiseFileLimit()
	if err != nil {
		return err
	}
	if err := container.InstallLibrary(cfg.RunDir, cfg.Library); err != nil {
		return err
	}
	eng, err := engine.New(cfg.Log)
	if err != nil {
		return fmt.Errorf("start engine: %w", err)
	}
	defer eng.Close()
	host, err := newHost(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.Close()) }()
	dev := verbs.NewDevice(cfg.Log, eng, local.Carrier{})
	srv := newServer(device{dev}, cfg.Log, perContainer(files))
	return serve(ctx, cfg.RunDir, srv, newBackend(cfg, host, dev, srv))
}

// newHost takes over the containers' side of the machine.
func newHost(cfg Config) (*container.Host, error) {
	host, err := container.NewHost(cfg.RunDir, cfg.Mode, cfg.Log)
	if err != nil {
		return nil, fmt.Errorf("set up containers: %w", err)
	}
	if err = host.AddNetwork(container.DefaultNetwork, cfg.Network, 0); err == nil {
		err = host.Recover()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set up containers: %w", err), host.Close())
	}
	return host, nil
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
