package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/orchestrator"
)

// commandLine runs commands against an orchestrator of its own.
type commandLine struct {
	*testing.T
	dir string
}

func newCommandLine(t *testing.T) commandLine {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "ff") // short: there will be sockets in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s, err := orchestrator.Start(context.Background(), orchestrator.Config{DataDir: dir, Listen: "none"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return commandLine{t, dir}
}

// run runs a command and returns what it prints, or its error.
func (c commandLine) run(stdin string, args ...string) (string, error) {
	c.Helper()
	var out bytes.Buffer
	cmd := rootCommand()
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append(args, "--data-dir", c.dir))
	err := cmd.ExecuteContext(context.Background())
	return out.String(), err
}

// ok runs a command that must succeed.
func (c commandLine) ok(args ...string) string {
	c.Helper()
	out, err := c.run("", args...)
	if err != nil {
		c.Fatalf("freeflow %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// says checks that the words are in the text.
func (c commandLine) says(text string, words ...string) {
	c.Helper()
	for _, w := range words {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), w) {
			c.Errorf("it does not say %q:\n%s", w, text)
		}
	}
}

// The examples are applied, listed in every format, applied again from what was listed, explained and deleted.
func TestPolicyCommands(t *testing.T) {
	c := newCommandLine(t)
	files, err := filepath.Glob("../../docs/examples/*.yaml")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	apply := []string{"apply"}
	for _, f := range files {
		apply = append(apply, "-f", f)
	}
	c.says(c.ok(append(apply, "--dry-run")...), "ratelimit cap-c created (dry run)")
	if out := c.ok("get", "policies"); strings.Contains(out, "cap-c") {
		t.Errorf("a dry run has made\n%s", out)
	}
	c.says(c.ok(apply...), "ratelimit cap-c created", "accesspolicy web-to-db created")
	c.says(c.ok("get", "policies"), "RateLimit cap-c 100 container c container: egress 5Gbit; container: ingress 5Gbit", "EngineMode benchmarks 100 image perftest mode fast",
		"Priority acme 100 tenant acme tenant: weight 4", "AccessPolicy web-to-db 100 network default deny from label quarantine=yes to everybody")
	for _, format := range []string{"json", "yaml"} {
		text := c.ok("get", "policies", "-o", format)
		again, err := c.run(text, "apply", "-f", "-")
		if err != nil || strings.Count(again, " unchanged\n") != 7 || strings.Count(again, "\n") != 7 {
			t.Errorf("%s, applied again: %v\n%s\n%s", format, err, again, text)
		}
	}
	if out := c.ok("get", "ratelimits"); strings.Count(out, "\n") != 2 {
		t.Errorf("rate limits:\n%s", out)
	}
	c.says(c.ok("get", "policies", "--for", "blue/db"), "Quota acme-each 100 tenant acme container: mrs 256;", "Priority acme 100 tenant acme tenant: weight 4 -")
	c.says(c.ok("get", "quota", "--for", "db", "-o", "yaml"), "- kind: Quota name: acme-all order: 100 selects: tenant acme holds: - 'tenant: mrBytes 16GiB'")
	c.says(c.ok("delete", "policy", "cap-c", "acme-each"), "policy cap-c deleted policy acme-each deleted")
	c.says(c.ok("delete", "priorities", "acme"), "priority acme deleted")
	for _, wrong := range []struct {
		stdin, want string
		args        []string
	}{
		{"", `there is no RateLimit "cap-c"`, []string{"delete", "ratelimit", "cap-c"}},
		{"", `there is no container "nobody"`, []string{"get", "policies", "--for", "nobody"}},
		{"", "want table, json or yaml", []string{"get", "policies", "-o", "xml"}},
		{"", "want network, container, host, mr, policy", []string{"delete", "colour", "red"}},
		{"apiVersion: freeflow/v1\nkind: RateLimit\nmetadata: {name: x}\nspec:\n  rate: 5G\n", `-:5: spec.rate: "5G": want bits per second: write 5Gbit`, []string{"apply", "-f", "-"}},
		{"apiVersion: freeflow/v1\nkind: AccessPolicy\nmetadata: {name: x}\nspec:\n  default: allow\n", "-:5: spec.default: network default has default deny from policy web-to-db",
			[]string{"apply", "-f", "-"}},
		{"apiVersion: freeflow/v1\nkind: AccessPolicy\nmetadata: {name: x}\nspec:\n  default: allow\n  network: none\n", `-:6: spec.network: there is no network "none"`,
			[]string{"apply", "-f", "-", "--dry-run"}},
	} {
		if out, err := c.run(wrong.stdin, wrong.args...); err == nil || !strings.Contains(err.Error(), wrong.want) {
			t.Errorf("freeflow %s: %v\n%s", strings.Join(wrong.args, " "), err, out)
		}
	}
}
