package main

import (
	"os"
	"runtime"

	"github.com/spf13/cobra"
)

const defaultRunDir = "/run/freeflow"

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "freeflow",
		Short:         "Virtual RDMA for containers, in software",
		SilenceErrors: true,
		SilenceUsage:  true,
		// A command that stays on the main thread says so itself.
		PersistentPreRun: func(*cobra.Command, []string) { runtime.UnlockOSThread() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(upCommand(), orchestratorCommand(), tokenCommand(), routerCommand(), runCommand(), getCommand(),
		applyCommand(), deleteCommand(), captureCommand(), topCommand(), doctorCommand(), benchCommand(), versionCommand())
	return root
}

// runDirFlag adds --run-dir, which says which router is meant.
func runDirFlag(cmd *cobra.Command, into *string) {
	initial := os.Getenv("FREEFLOW_RUN_DIR")
	if initial == "" {
		initial = defaultRunDir
	}
	cmd.Flags().StringVar(into, "run-dir", initial, "the router's `directory` of sockets (environment: FREEFLOW_RUN_DIR)")
}
