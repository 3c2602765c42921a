package main

import (
	"errors"
	"fmt"
	"os"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/freeflow-rdma/freeflow/internal/cluster"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator"
)

// tokenVariable holds the token of a role, for an orchestrator elsewhere.
const tokenVariable = "FREEFLOW_TOKEN"

// operatorFlags say how to reach the orchestrator as an operator.
type operatorFlags struct{ dataDir, runDir, url, credentials string }

func (f *operatorFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	runDirFlag(cmd, &f.runDir)
	flags.StringVar(&f.dataDir, "data-dir", "", "the `directory` of an orchestrator on this machine (default: that which freeflow up runs at --run-dir, or "+
		orchestrator.DefaultDataDir+")")
	flags.StringVar(&f.url, "orchestrator", "", "the `URL` of an orchestrator elsewhere")
	flags.StringVar(&f.credentials, "credentials", "", "the `directory` with ca.crt, and client.crt and client.key or admin.crt and admin.key "+
		"(default: the data directory; a token of a role in the environment FREEFLOW_TOKEN is used in their place)")
}

func (f *operatorFlags) open() (*cluster.Operator, error) {
	if f.dataDir == "" {
		f.dataDir = notedDataDir(f.runDir)
	}
	if f.url == "" {
		return cluster.OpenOperator(orchestrator.SocketPath(f.dataDir)), nil
	}
	credentials := f.credentials
	if token := os.Getenv(tokenVariable); token != "" && credentials == "" {
		return cluster.OpenTokenOperator(f.url, token)
	}
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
