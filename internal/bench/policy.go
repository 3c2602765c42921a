package bench

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// apply makes policies of a kind hold, one of each spec; the orchestrator is that of a data directory.
func apply(ctx context.Context, binary, dataDir, kind string, specs ...string) error {
	var b strings.Builder
	for i, spec := range specs {
		fmt.Fprintf(&b, "apiVersion: freeflow/v1\nkind: %s\nmetadata: {name: %s}\nspec: %s\n---\n", kind, policyName(i), spec)
	}
	cmd := exec.CommandContext(ctx, binary, "apply", "--data-dir", dataDir, "-f", "-")
	cmd.Stdin = strings.NewReader(b.String())
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apply %s %s: %w: %s", kind, specs[0], err, text)
	}
	return nil
}

func policyName(i int) string { return fmt.Sprint("bench-", i) }

// forget takes n of a kind back.
func forget(ctx context.Context, binary, dataDir, kind string, n int) error {
	argv := []string{"delete", "--data-dir", dataDir, strings.ToLower(kind)}
	for i := range n {
		argv = append(argv, policyName(i))
	}
	if text, err := exec.CommandContext(ctx, binary, argv...).CombinedOutput(); err != nil {
		return fmt.Errorf("delete %s: %w: %s", kind, err, text)
	}
	return nil
}

// Apply makes policies of a kind hold on the world's host.
func (w *World) Apply(ctx context.Context, kind string, specs ...string) error {
	return apply(ctx, w.binary, w.path("data"), kind, specs...)
}

// Forget takes n of a kind back.
func (w *World) Forget(ctx context.Context, kind string, n int) error {
	return forget(ctx, w.binary, w.path("data"), kind, n)
}

// Apply makes a policy hold on both hosts.
func (c *Cluster) Apply(ctx context.Context, kind, spec string) error {
	return apply(ctx, c.binary, c.dir, kind, spec)
}
