package bench

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// apply makes a policy hold, which has the given spec; the orchestrator is that of a data directory.
func apply(ctx context.Context, binary, dataDir, kind, spec string) error {
	cmd := exec.CommandContext(ctx, binary, "apply", "--data-dir", dataDir, "-f", "-")
	cmd.Stdin = strings.NewReader("apiVersion: freeflow/v1\nkind: " + kind + "\nmetadata: {name: bench}\nspec: " + spec + "\n")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apply %s %s: %w: %s", kind, spec, err, text)
	}
	return nil
}

// forget takes it back.
func forget(ctx context.Context, binary, dataDir, kind string) error {
	if text, err := exec.CommandContext(ctx, binary, "delete", "--data-dir", dataDir, kind, "bench").CombinedOutput(); err != nil {
		return fmt.Errorf("delete %s: %w: %s", kind, err, text)
	}
	return nil
}

// Apply makes a policy hold on the world's host.
func (w *World) Apply(ctx context.Context, kind, spec string) error {
	return apply(ctx, w.binary, w.path("data"), kind, spec)
}

// Forget takes it back.
func (w *World) Forget(ctx context.Context, kind string) error {
	return forget(ctx, w.binary, w.path("data"), kind)
}

// Apply makes a policy hold on both hosts.
func (c *Cluster) Apply(ctx context.Context, kind, spec string) error {
	return apply(ctx, c.binary, c.dir, kind, spec)
}
