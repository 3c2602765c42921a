package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/freeflow-rdma/freeflow/internal/bench"
)

func benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure FreeFlow, and TCP beside it",
		Long: `Start routers of its own and containers, and run Debian's perftest, iperf3 and qperf in them. Several hosts are network
namespaces of this machine, joined by veth and a bridge. Needs root, these programs, and for some figures ffpairs and ffregister beside the freeflow binary ("make tools").`,
	}
	cmd.AddCommand(benchDemoCommand(), benchFiguresCommand(), benchAcceptCommand())
	return cmd
}

func benchDemoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "RDMA over FreeFlow beside TCP between two containers, on one host and on two",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return untilSignal(cmd, func(ctx context.Context) error { return bench.Demo(ctx, os.Stdout, os.Stderr) })
		},
	}
}

func benchFiguresCommand() *cobra.Command {
	o := bench.Options{Out: os.Stdout, Notes: os.Stderr}
	cmd := &cobra.Command{
		Use:       "figures [flags] [FIGURE...]",
		Short:     "The paper's figures for one host and for two, as tables and CSV files",
		Long:      "Measure and print figures, and write them as CSV: " + strings.Join(bench.FigureNames(), ", ") + ".",
		ValidArgs: bench.FigureNames(),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Figures = args
			return untilSignal(cmd, func(ctx context.Context) error { return bench.Figures(ctx, o) })
		},
	}
	benchFlags(cmd, &o)
	cmd.Flags().StringVar(&o.Dir, "out", "bench/out", "the `directory` for the CSV files")
	return cmd
}

func benchAcceptCommand() *cobra.Command {
	o := bench.Options{Out: os.Stdout, Notes: os.Stderr}
	cmd := &cobra.Command{
		Use:   "accept [flags] [SECTION...]",
		Short: "The project's bars for speed beside what is measured",
		Long: "Measure what the project has promised: " + strings.Join(bench.SectionNames(), ", ") +
			". The exit status is 1 if a bar is not reached.",
		ValidArgs: bench.SectionNames(),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Figures = args
			return untilSignal(cmd, func(ctx context.Context) error { return bench.Accept(ctx, o) })
		},
	}
	benchFlags(cmd, &o)
	return cmd
}

func benchFlags(cmd *cobra.Command, o *bench.Options) {
	cmd.Flags().IntVar(&o.Runs, "runs", 5, "rounds; medians of them are shown")
	cmd.Flags().BoolVar(&o.Quick, "quick", false, "fewer sizes and numbers of pairs, for a first look")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if o.Runs < 1 {
			return fmt.Errorf("--runs %d: want 1 or more", o.Runs)
		}
		return nil
	}
}

func untilSignal(cmd *cobra.Command, run func(context.Context) error) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return run(ctx)
}
