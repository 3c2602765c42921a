package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// version is set by the linker: -ldflags "-X main.version=...".
var version = "dev"

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			library := "with libfreeflow.so"
			if _, err := embeddedLibrary(); err != nil {
				library = "without libfreeflow.so"
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "freeflow %s (%s, %s/%s, %s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH, library)
			return err
		},
	}
}
