package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/cluster"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator"
	"github.com/freeflow-rdma/freeflow/internal/router"
)

func upCommand() *cobra.Command {
	var f routerFlags
	var network, listen string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Serve RDMA to the containers of this host, with an orchestrator of its own",
		Long: `Serve RDMA to the containers of this host: a router and an orchestrator in one. With --host-ip and --listen others can
join: freeflow token create prints what they need.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := f.config()
			if err != nil {
				return err
			}
			if _, err := netip.ParsePrefix(network); err != nil {
				return fmt.Errorf("--network: %w", err)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return up(ctx, cfg, "--listen", listen, "--network-cidr", network)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&network, "network", "10.77.0.0/16", "the addresses of the network named default, a `prefix`, when it is made")
	cmd.Flags().StringVar(&listen, "listen", orchestrator.DefaultListen, "the `address` at which other hosts find the orchestrator; none: nobody does")
	return cmd
}

// up runs an orchestrator and a router on it. The orchestrator is a process of its own: what it does with memory must not keep the router's
// workers waiting. It ends with this one, however that ends.
func up(told context.Context, cfg router.Config, flags ...string) error {
	cmd, input, err := startOrchestrator(cfg.DataDir, flags)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(told)
	defer cancel(nil)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cancel(fmt.Errorf("the orchestrator has ended: %w", cmd.Wait()))
	}()
	defer func() {
		_ = input.Close()
		<-ended
	}()
	cfg.Orchestrators = []string{"unix:" + orchestrator.RouterSocketPath(cfg.DataDir)}
	cfg.NewToken = func(ctx context.Context) (string, error) { return ownToken(ctx, cfg.DataDir) }
	err = serve(ctx, cfg, func() error {
		awaitSocket(ctx, orchestrator.SocketPath(cfg.DataDir))
		return noteDataDir(cfg.RunDir, cfg.DataDir)
	})
	if err == nil && told.Err() == nil {
		err = context.Cause(ctx)
	}
	return err
}

// awaitSocket waits until somebody answers at a Unix socket, but not for ever: a router that knows what to do is of use without its
// orchestrator.
func awaitSocket(ctx context.Context, path string) {
	for range 2000 {
		conn, err := net.Dial("unix", path)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// childVariable marks the process that is started: whatever program it turns out to be (a test's), it does not start the next.
const childVariable = "FREEFLOW_IS_CHILD"

// startOrchestrator starts this program as an orchestrator that ends when the pipe that is given is closed.
func startOrchestrator(dataDir string, flags []string) (*exec.Cmd, io.Closer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("start the orchestrator: %w", err)
	}
	cmd := exec.Command(self, append([]string{"orchestrator", "--attached", "--listen-optional", "--data-dir", dataDir}, flags...)...)
	if os.Getenv(childVariable) != "" {
		return nil, nil, errors.New("start the orchestrator: this process is to be one, not to start one")
	}
	cmd.Env = append(os.Environ(), childVariable+"=1")
	cmd.Stderr = os.Stderr
	// A session of its own: an interrupt at the terminal is for this process, which ends that one in its turn, and the priority of this one's
	// session is not for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("start the orchestrator: %w", err)
	}
	return cmd, input, nil
}

// ownToken asks the orchestrator of this machine for a token, once it answers.
func ownToken(ctx context.Context, dataDir string) (string, error) {
	o := cluster.OpenOperator(orchestrator.SocketPath(dataDir))
	defer o.Close()
	for {
		answer, err := o.CreateToken(ctx, connect.NewRequest(&pb.CreateTokenRequest{TtlMs: time.Minute.Milliseconds(), SingleUse: true}))
		if err == nil {
			return answer.Msg.Token, nil
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
