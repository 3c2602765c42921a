package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/freeflow-rdma/freeflow/internal/container/doctor"
)

func doctorCommand() *cobra.Command {
	var o doctor.Options
	cmd := &cobra.Command{
		Use:   "doctor [flags] [-- CMD]",
		Short: "Say what this machine, or a container, lacks for RDMA",
		Long: `Check this machine, and with CMD also whether that program can see a virtual RDMA device, and with
--container a container that runs. What is missing is printed with what to do about it; the exit status is 1
if something is missing without which FreeFlow does not work.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.Program = args[0]
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 30*time.Second)
			defer cancel()
			report := doctor.Examine(ctx, o)
			if err := report.Print(cmd.OutOrStdout()); err != nil {
				return err
			}
			if !report.Healthy() {
				return exitStatus{1, errors.New("something essential is missing: see above")}
			}
			return nil
		},
	}
	runDirFlag(cmd, &o.RunDir)
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().StringVar(&o.Container, "container", "", "also look into the running container with that `name`")
	return cmd
}
