package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/manifest"
)

func applyCommand() *cobra.Command {
	var f operatorFlags
	var files []string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Make networks, policies and other objects be as a file says",
		Long: `Make objects be as YAML documents say: all of them, or, if one is wrong, none. What exists already is changed,
or left alone if it is so. docs/examples/ has a file of each kind; docs/policies.md tells what policies mean.`,
		Example: "  freeflow apply -f docs/examples/network.yaml\n  freeflow apply -f docs/examples/rate-limit.yaml --dry-run",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			docs, err := readManifests(files, cmd.InOrStdin())
			if err != nil {
				return err
			}
			return f.apply(cmd, docs, dryRun)
		},
	}
	f.register(cmd)
	cmd.Flags().StringSliceVarP(&files, "filename", "f", nil, "the `file`; - is the standard input; can be repeated")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	if err := cmd.MarkFlagRequired("filename"); err != nil {
		panic(err) // the flag is there
	}
	return cmd
}

func readManifests(files []string, stdin io.Reader) ([]manifest.Document, error) {
	var docs []manifest.Document
	var problems []error
	for _, file := range files {
		text, err := readFileOr(file, stdin)
		if err != nil {
			return nil, fmt.Errorf("apply: %w", err)
		}
		more, err := manifest.Parse(file, text)
		if err != nil {
			problems = append(problems, err)
		}
		docs = append(docs, more...)
	}
	return docs, errors.Join(problems...)
}

func readFileOr(file string, stdin io.Reader) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(file)
}

func (f *operatorFlags) apply(cmd *cobra.Command, docs []manifest.Document, dryRun bool) error {
	o, err := f.open()
	if err != nil {
		return err
	}
	defer o.Close()
	request := &pb.ApplyRequest{DryRun: dryRun}
	for _, d := range docs {
		request.Objects = append(request.Objects, d.Object)
	}
	answer, err := o.Apply(cmd.Context(), connect.NewRequest(request))
	if wrong := orchestrator.WrongField(err); wrong != nil && int(wrong.Object) < len(docs) && wrong.Object >= 0 {
		return docs[wrong.Object].Error(wrong.Field, wrong.Message)
	}
	if err != nil {
		return f.explain("apply", err)
	}
	for i, action := range answer.Msg.Actions {
		if i >= len(docs) {
			break
		}
		word := strings.ToLower(strings.TrimPrefix(action.String(), "ACTION_"))
		if dryRun {
			word += " (dry run)"
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s\n", strings.ToLower(docs[i].Kind), docs[i].Name, word)
	}
	return nil
}
