package main

import (
	"context"
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
	"github.com/freeflow-rdma/freeflow/internal/router"
)

func upCommand() *cobra.Command {
	var f routerFlags
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Serve RDMA to the containers of this host, alone",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return f.serve(cmd.Context()) },
	}
	f.register(cmd)
	return cmd
}

func routerCommand() *cobra.Command {
	var f routerFlags
	cmd := &cobra.Command{
		Use:   "router",
		Short: "Serve RDMA to the containers of this host",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return f.serve(cmd.Context()) },
	}
	f.register(cmd)
	return cmd
}

// routerFlags are those of the commands that serve.
type routerFlags struct {
	runDir, dataDir string
	network         string
	mode            string
	verbose         bool
}

func (f *routerFlags) register(cmd *cobra.Command) {
	runDirFlag(cmd, &f.runDir)
	flags := cmd.Flags()
	flags.StringVar(&f.dataDir, "data-dir", "/var/lib/freeflow", "the `directory` of what is kept across restarts")
	flags.StringVar(&f.network, "network", "10.77.0.0/16", "the addresses of the network named default, a `prefix`")
	flags.StringVar(&f.mode, "mode", "auto", "how to work for containers that ask for nothing: auto, fast or low")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "log more")
}

// serve runs the router until it is told to end. It says one line when containers can come.
func (f *routerFlags) serve(parent context.Context) error {
	prefix, err := netip.ParsePrefix(f.network)
	if err != nil {
		return fmt.Errorf("--network: %w", err)
	}
	runDir, err := filepath.Abs(f.runDir)
	if err != nil {
		return fmt.Errorf("--run-dir: %w", err)
	}
	library, err := embeddedLibrary()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(parent, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go announce(ctx, runDir, prefix)
	return router.Run(ctx, router.Config{
		RunDir: runDir, DataDir: f.dataDir, Network: prefix, Mode: f.mode, Log: f.logger(), Library: library,
	})
}

func (f *routerFlags) logger() *slog.Logger {
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// announce says that the router is ready when it answers, as anybody else would find it.
func announce(ctx context.Context, runDir string, network netip.Prefix) {
	client := admin.NewClient(runDir)
	for ctx.Err() == nil {
		if s, err := client.Status(ctx); err == nil && s.PID == os.Getpid() {
			fmt.Printf("freeflow is ready: network default %s, run directory %s\n", network, runDir)
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}
