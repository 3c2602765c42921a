package main

import (
	"fmt"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// deletable are the kinds of objects that an operator can delete, in the singular.
var deletable = map[string]pb.Kind{
	"network": pb.Kind_KIND_NETWORK, "container": pb.Kind_KIND_CONTAINER, "host": pb.Kind_KIND_HOST, "mr": pb.Kind_KIND_MR,
}

func deleteCommand() *cobra.Command {
	var f operatorFlags
	var network string
	var force bool
	cmd := &cobra.Command{
		Use:   "delete network|container|host|mr NAME...",
		Short: "Remove objects from the cluster",
		Long: `Remove objects from the cluster:

  network    one without containers
  container  the reservation of a stopped container's address
  host       one whose router has ended; its certificate is void from then on
  mr         a memory region, HOST/ID as in ` + "`freeflow get mrs`" + `: its router makes it useless at once`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, ok := deletable[strings.TrimSuffix(strings.ToLower(args[0]), "s")]
			if !ok {
				return fmt.Errorf("delete %s: want network, container, host or mr", args[0])
			}
			for _, name := range args[1:] {
				if err := f.remove(cmd, refTo(kind, network, name), force); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&network, "network", "default", "the container's `network`; NETWORK/NAME says it too")
	cmd.Flags().BoolVar(&force, "force", false, "delete a host although its router runs")
	return cmd
}

func refTo(kind pb.Kind, network, name string) *pb.Ref {
	if kind != pb.Kind_KIND_CONTAINER {
		return &pb.Ref{Kind: kind, Name: name}
	}
	if before, after, ok := strings.Cut(name, "/"); ok {
		network, name = before, after
	}
	return &pb.Ref{Kind: kind, Network: network, Name: name}
}

func (f *operatorFlags) remove(cmd *cobra.Command, ref *pb.Ref, force bool) error {
	o, err := f.open()
	if err != nil {
		return err
	}
	defer o.Close()
	if _, err := o.Delete(cmd.Context(), connect.NewRequest(&pb.DeleteRequest{Ref: ref, Force: force})); err != nil {
		return f.explain("delete", err)
	}
	kind := strings.ToLower(strings.TrimPrefix(ref.Kind.String(), "KIND_"))
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s deleted\n", kind, ref.Name)
	return err
}
