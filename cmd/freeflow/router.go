package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator"
	"github.com/freeflow-rdma/freeflow/internal/router"
)

func routerCommand() *cobra.Command {
	var f routerFlags
	var urls []string
	var token string
	cmd := &cobra.Command{
		Use:   "router",
		Short: "Serve RDMA to the containers of this host, as a member of a cluster",
		Long: `Serve RDMA to the containers of this host. The host joins the cluster with a token (freeflow token create); once it has,
it goes on as the host that it is, with or without the token, and serves what it knows while no orchestrator answers.`,
		Example: `  freeflow router --orchestrator https://10.0.0.1:7470 --join-token TOKEN --host-ip 10.0.0.2`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(urls) == 0 {
				return errors.New("router: --orchestrator is missing: a host that is alone needs `freeflow up`")
			}
			cfg, err := f.config()
			if err != nil {
				return err
			}
			if !cfg.HostIP.IsValid() {
				return errors.New("router: --host-ip is missing: the address at which other hosts reach this one")
			}
			cfg.Orchestrators, cfg.Token = urls, token
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return serve(ctx, cfg, func() error { return forgetDataDir(cfg.RunDir) })
		},
	}
	f.register(cmd)
	cmd.Flags().StringSliceVar(&urls, "orchestrator", nil, "the `URLs` of the cluster's orchestrators; any of them will do")
	cmd.Flags().StringVar(&token, "join-token", os.Getenv("FREEFLOW_JOIN_TOKEN"), "the `token` to join with (environment: FREEFLOW_JOIN_TOKEN)")
	return cmd
}

// routerFlags are those of the commands that serve containers.
type routerFlags struct {
	runDir, dataDir  string
	mode             string
	hostIP, hostName string
	external         []string
	metrics          string
	verbose          bool
}

func (f *routerFlags) register(cmd *cobra.Command) {
	runDirFlag(cmd, &f.runDir)
	flags := cmd.Flags()
	flags.StringVar(&f.dataDir, "data-dir", "", "the `directory` of what is kept across restarts (default: "+orchestrator.DefaultDataDir+
		"; with another run directory than the usual, data below that)")
	flags.StringVar(&f.mode, "mode", "auto", "how to work for containers that ask for nothing: auto, fast or low")
	flags.StringVar(&f.hostIP, "host-ip", "", "the `address` at which other hosts reach this one")
	flags.StringVar(&f.hostName, "host-name", "", "this host's `name` in the cluster (default: the machine's)")
	flags.StringSliceVar(&f.external, "external", nil, "`prefixes` of peers that are no routers: containers reach them by plain RoCEv2 from the host's address")
	flags.StringVar(&f.metrics, "metrics-listen", "", "the `address` at which Prometheus finds /metrics, such as 127.0.0.1:7471 (default: nowhere)")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "log more")
}

// config is what the flags say, without how to find the orchestrator.
func (f *routerFlags) config() (cfg router.Config, err error) {
	cfg = router.Config{Mode: f.mode, HostName: f.hostName, MetricsListen: f.metrics, Log: f.logger()}
	if cfg.RunDir, err = filepath.Abs(f.runDir); err != nil {
		return cfg, fmt.Errorf("--run-dir: %w", err)
	}
	cfg.DataDir = f.dataDir
	if cfg.DataDir == "" {
		cfg.DataDir = orchestrator.DefaultDataDir
		if cfg.RunDir != defaultRunDir {
			cfg.DataDir = filepath.Join(cfg.RunDir, "data")
		}
	}
	if cfg.DataDir, err = filepath.Abs(cfg.DataDir); err != nil {
		return cfg, fmt.Errorf("--data-dir: %w", err)
	}
	if f.hostIP != "" {
		if cfg.HostIP, err = netip.ParseAddr(f.hostIP); err != nil {
			return cfg, fmt.Errorf("--host-ip: %w", err)
		}
	}
	for _, text := range f.external {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return cfg, fmt.Errorf("--external: %w", err)
		}
		cfg.External = append(cfg.External, p)
	}
	if len(cfg.External) > 0 && !cfg.HostIP.IsValid() {
		return cfg, errors.New("--external needs --host-ip: the address from which those peers are reached")
	}
	if cfg.HostName == "" {
		if cfg.HostName, err = os.Hostname(); err != nil {
			return cfg, fmt.Errorf("--host-name: %w", err)
		}
	}
	cfg.Library, err = embeddedLibrary()
	return cfg, err
}

func (f *routerFlags) logger() *slog.Logger {
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// serve runs a router. When containers can come it calls ready and says so, in one line.
func serve(ctx context.Context, cfg router.Config, ready func() error) error {
	go announce(ctx, cfg, ready)
	return router.Run(ctx, cfg)
}

// announce calls ready and says that the router is, when it answers, as anybody else would find it.
func announce(ctx context.Context, cfg router.Config, ready func() error) {
	client := admin.NewClient(cfg.RunDir)
	for ctx.Err() == nil {
		if s, err := client.Status(ctx); err == nil && s.PID == os.Getpid() {
			if err := ready(); err != nil {
				cfg.Log.Warn("commands will need --data-dir", "error", err)
			}
			fmt.Printf("freeflow is ready: host %s, run directory %s\n", cfg.HostName, cfg.RunDir)
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}
