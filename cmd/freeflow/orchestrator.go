package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/freeflow-rdma/freeflow/internal/orchestrator"
)

func orchestratorCommand() *cobra.Command {
	var f orchestratorFlags
	cmd := &cobra.Command{
		Use:   "orchestrator",
		Short: "Keep the state of a cluster and serve it to its routers",
		Long: `Keep the state of a cluster: hosts, networks, containers and their addresses. It is in an etcd inside this
process, or in an existing etcd cluster; over one of those any number of orchestrators can serve.

Routers join with a token: freeflow token create. Operators on this machine use the Unix socket in the data
directory; elsewhere they need a copy of ca.crt, admin.crt and admin.key from there (--credentials).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.serve(cmd.Context()) },
	}
	f.register(cmd)
	return cmd
}

type orchestratorFlags struct {
	cfg           orchestrator.Config
	cidr          string
	ca, cert, key string // files, of etcd
	verbose       bool
	attached      bool
}

func (f *orchestratorFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.cfg.DataDir, "data-dir", orchestrator.DefaultDataDir, "the `directory` of state, sockets and credentials")
	flags.StringVar(&f.cfg.Listen, "listen", orchestrator.DefaultListen, "the `address` to serve on; none: this machine only")
	flags.StringSliceVar(&f.cfg.Advertise, "advertise", nil, "further `names` and addresses for the server's certificate")
	flags.StringSliceVar(&f.cfg.EtcdEndpoints, "etcd-endpoints", nil, "the `URLs` of an existing etcd cluster (default: an etcd of its own)")
	flags.StringVar(&f.ca, "etcd-cacert", "", "the `file` with the authority of that etcd's certificates")
	flags.StringVar(&f.cert, "etcd-cert", "", "the `file` with the client certificate for that etcd")
	flags.StringVar(&f.key, "etcd-key", "", "the `file` with its key")
	flags.StringVar(&f.cfg.EtcdUser, "etcd-user", "", "the `name` to use at that etcd (its password: environment FREEFLOW_ETCD_PASSWORD)")
	flags.StringVar(&f.cfg.Prefix, "etcd-prefix", orchestrator.DefaultPrefix, "where in etcd this cluster's `keys` are")
	flags.DurationVar(&f.cfg.HostTTL, "host-ttl", orchestrator.DefaultHostTTL, "how long a host counts as there without a word from it")
	flags.StringVar(&f.cidr, "network-cidr", "10.77.0.0/16", "the addresses of the network named default, a `prefix`, when it is made")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "log more")
	keepFlags(flags, &f.cfg)
	// What freeflow up starts it with.
	flags.BoolVar(&f.cfg.ListenOptional, "listen-optional", false, "go on without TCP if the address is taken")
	flags.BoolVar(&f.attached, "attached", false, "end when standard input does")
	_ = flags.MarkHidden("listen-optional")
	_ = flags.MarkHidden("attached")
}

func (f *orchestratorFlags) config() (orchestrator.Config, error) {
	var err error
	if f.cfg.DefaultCIDR, err = netip.ParsePrefix(f.cidr); err != nil {
		return f.cfg, fmt.Errorf("--network-cidr: %w", err)
	}
	f.cfg.EtcdPassword = os.Getenv("FREEFLOW_ETCD_PASSWORD")
	if f.cfg.EtcdTLS, err = etcdTLS(f.ca, f.cert, f.key); err != nil {
		return f.cfg, err
	}
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	f.cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	return f.cfg, nil
}

// etcdTLS is how to talk to an etcd that wants it; nil if nothing is said about it.
func etcdTLS(authority, cert, key string) (*tls.Config, error) {
	if authority == "" && cert == "" && key == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if authority != "" {
		text, err := os.ReadFile(authority)
		if err != nil {
			return nil, fmt.Errorf("--etcd-cacert: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--etcd-cacert: %s: no certificate in it", authority)
		}
	}
	if cert == "" && key == "" {
		return config, nil
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("--etcd-cert, --etcd-key: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// serve runs the orchestrator until it is told to end. It says one line when it answers.
func (f *orchestratorFlags) serve(parent context.Context) error {
	cfg, err := f.config()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(parent, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if f.attached {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	s, err := orchestrator.Start(ctx, cfg)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	where := "this machine only"
	if s.Addr() != nil {
		where = "https://" + s.Addr().String()
	}
	if f.attached {
		<-s.Done()
		return s.Err()
	}
	fmt.Printf("freeflow orchestrator is ready: %s, data directory %s\n", where, cfg.DataDir)
	<-s.Done()
	return s.Err()
}
