package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/freeflow-rdma/freeflow/internal/bench"
)

func benchCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "bench", Short: "Measure FreeFlow, and TCP beside it"}
	cmd.AddCommand(benchDemoCommand())
	return cmd
}

func benchDemoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "RDMA over FreeFlow beside TCP between two containers, in one table",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return bench.Demo(ctx, os.Stdout, os.Stderr)
		},
	}
}
