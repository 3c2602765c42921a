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

// kindToDelete reads a kind, in the singular or the plural; the word is the singular.
func kindToDelete(text string) (kind pb.Kind, word string, ok bool) {
	text = strings.ToLower(text)
	for _, k := range policyKinds {
		if text == k.one || text == k.many {
			return k.kind, k.one, true
		}
	}
	word = strings.TrimSuffix(text, "s")
	kind, ok = deletable[word]
	return kind, word, ok
}

func deleteCommand() *cobra.Command {
	var f operatorFlags
	var network string
	var force bool
	cmd := &cobra.Command{
		Use:   "delete network|container|host|mr|policy NAME...",
		Short: "Remove objects from the cluster",
		Long: `Remove objects from the cluster:

  network    one without containers
  container  the reservation of a stopped container's address
  host       one whose router has ended; its certificate is void from then on
  mr         a memory region, HOST/ID as in ` + "`freeflow get mrs`" + `: its router makes it useless at once
  policy     one of any kind; where two kinds have one of that name: accesspolicy, quota, ratelimit, priority or enginemode`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, word, ok := kindToDelete(args[0])
			if !ok {
				return fmt.Errorf("delete %s: want network, container, host, mr, policy, accesspolicy, quota, ratelimit, priority or enginemode", args[0])
			}
			for _, name := range args[1:] {
				if err := f.remove(cmd, word, &pb.DeleteRequest{Ref: refTo(kind, network, name), Force: force}); err != nil {
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

func (f *operatorFlags) remove(cmd *cobra.Command, kind string, r *pb.DeleteRequest) error {
	o, err := f.open()
	if err != nil {
		return err
	}
	defer o.Close()
	if _, err := o.Delete(cmd.Context(), connect.NewRequest(r)); err != nil {
		return f.explain("delete", err)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s deleted\n", kind, r.Ref.Name)
	return err
}
