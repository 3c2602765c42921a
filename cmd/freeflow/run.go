package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/spf13/cobra"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/container/run"
)

func runCommand() *cobra.Command {
	var o run.Options
	var ip string
	cmd := &cobra.Command{
		Use:   "run [flags] -- CMD [ARG...]",
		Short: "Start a program in a container with a virtual RDMA device",
		Long: `Start CMD in a network namespace of its own, with an eth0 on a network of the router and a virtual RDMA
device that carries the same address. Signals, terminal and exit status are CMD's. When CMD ends, the
container ends: processes that it left are killed, and nothing stays behind.

Exit status: CMD's; 128+n if signal n ended it; 127 if CMD was not found, 126 if it cannot be executed, 125 if
the container could not be made.`,
		Example: `  freeflow run -- ibv_devinfo
  freeflow run --name server --ip 10.77.0.10 -- ib_write_bw
  freeflow run --sockets -- iperf -s`,
		PersistentPreRun: func(*cobra.Command, []string) {}, // stays on the main thread
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exitStatus{run.ExitFailed, errors.New("run: no program given: freeflow run [flags] -- CMD [ARG...]")}
			}
			if err := parseIP(ip, &o.Spec); err != nil {
				return exitStatus{run.ExitFailed, err}
			}
			o.Args, o.Messages = args, os.Stderr
			code, err := run.Run(o)
			return exitStatus{code, err}
		},
	}
	runDirFlag(cmd, &o.RunDir)
	flags := cmd.Flags()
	flags.SetInterspersed(false) // what follows CMD is CMD's
	flags.StringVar(&o.Spec.Name, "name", "", "the container's `name` (default: one of its own)")
	flags.StringVar(&o.Spec.Network, "network", "default", "the `network` to join")
	flags.StringVar(&ip, "ip", "", "the virtual IP `address` (default: a free one)")
	flags.StringVar(&o.Spec.Mode, "mode", "", "how the router works for it: auto, fast or low (default: the router's)")
	flags.StringToStringVar(&o.Spec.Labels, "label", nil, "a label, `key=value`; can be repeated")
	flags.BoolVar(&o.Sockets, "sockets", false, "CMD's TCP and UDP sockets are RDMA connections, by librspreload.so (docs/sockets.md)")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exitStatus{run.ExitFailed, err} })
	return cmd
}

func parseIP(ip string, spec *admin.ContainerSpec) error {
	if ip == "" {
		return nil
	}
	var err error
	if spec.IP, err = netip.ParseAddr(ip); err != nil {
		return fmt.Errorf("--ip: %w", err)
	}
	return nil
}
