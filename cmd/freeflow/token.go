package main

import (
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/cluster"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator"
)

// operatorFlags say how to reach the orchestrator as an operator.
type operatorFlags struct{ dataDir, runDir, url, credentials string }

func (f *operatorFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	runDirFlag(cmd, &f.runDir)
	flags.StringVar(&f.dataDir, "data-dir", "", "the `directory` of an orchestrator on this machine (default: that which freeflow up runs at --run-dir, or "+
		orchestrator.DefaultDataDir+")")
	flags.StringVar(&f.url, "orchestrator", "", "the `URL` of an orchestrator elsewhere")
	flags.StringVar(&f.credentials, "credentials", "", "the `directory` with ca.crt, admin.crt and admin.key (default: the data directory)")
}

func (f *operatorFlags) open() (*cluster.Operator, error) {
	if f.dataDir == "" {
		f.dataDir = notedDataDir(f.runDir)
	}
	if f.url == "" {
		return cluster.OpenOperator(orchestrator.SocketPath(f.dataDir)), nil
	}
	credentials := f.credentials
	if credentials == "" {
		credentials = f.dataDir
	}
	return cluster.OpenRemoteOperator(f.url, credentials)
}

// explain says what an operator can make of an error.
func (f *operatorFlags) explain(op string, err error) error {
	var c *connect.Error
	if !errors.As(err, &c) {
		return fmt.Errorf("%s: %w", op, err)
	}
	if c.Code() == connect.CodeUnavailable {
		where := f.url
		if where == "" {
			where = orchestrator.SocketPath(f.dataDir)
		}
		return fmt.Errorf("%s: no orchestrator answers at %s (%s): start one, or say where it is: --run-dir, --data-dir or --orchestrator", op, where, c.Message())
	}
	return fmt.Errorf("%s: %s", op, c.Message())
}

func tokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make the tokens with which hosts join the cluster"}
	cmd.AddCommand(tokenCreateCommand())
	return cmd
}

func tokenCreateCommand() *cobra.Command {
	var f operatorFlags
	var ttl time.Duration
	var once bool
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Print a new join token",
		Example: `  freeflow token create
  freeflow router --orchestrator https://10.0.0.1:7470 --join-token TOKEN --host-ip 10.0.0.2`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := f.open()
			if err != nil {
				return err
			}
			defer o.Close()
			answer, err := o.CreateToken(cmd.Context(), connect.NewRequest(&pb.CreateTokenRequest{TtlMs: ttl.Milliseconds(), SingleUse: once}))
			if err != nil {
				return f.explain("token create", err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), answer.Msg.Token)
			return err
		},
	}
	f.register(cmd)
	cmd.Flags().DurationVar(&ttl, "ttl", orchestrator.DefaultTokenTTL, "how long hosts can join with it")
	cmd.Flags().BoolVar(&once, "single-use", false, "for one host only")
	return cmd
}
