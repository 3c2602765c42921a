package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseMoment(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"90m": now.Add(-90 * time.Minute), "7d": now.Add(-7 * 24 * time.Hour), "0.5d": now.Add(-12 * time.Hour), "0s": now,
		"2026-01-31T12:00:00Z": time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC), "2026-01-31": time.Date(2026, 1, 31, 0, 0, 0, 0, time.Local),
		"2026-01-31 08:30": time.Date(2026, 1, 31, 8, 30, 0, 0, time.Local),
	} {
		if got, err := parseMoment(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1h", "yesterday", "-3d", "d", "2026-13-01"} {
		if got, err := parseMoment(text, now); err == nil {
			t.Errorf("%q: %s", text, got)
		}
	}
}

func TestTokenCommands(t *testing.T) {
	c := newCommandLine(t)
	token := strings.TrimSpace(c.ok("token", "create", "--role", "viewer", "--name", "ann", "--ttl", "2h"))
	dir := t.TempDir() + "/bob"
	c.says(c.ok("token", "create", "--role", "operator", "--name", "bob", "--certificate", dir), "certificate", "good until")
	for _, name := range []string{"ca.crt", "client.crt", "client.key"} {
		if info, err := os.Stat(dir + "/" + name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.ok("token", "create", "--single-use")
	list := c.ok("get", "tokens")
	c.says(list, "token viewer ann", "certificate operator bob", "join router")
	if strings.Contains(list, strings.Split(token, ".")[2]) {
		t.Error("the list tells a secret")
	}
	id := strings.Split(token, ".")[1]
	c.says(c.ok("token", "revoke", id[:8]), "token "+id+" of viewer ann revoked")
	if strings.Contains(c.ok("get", "tokens", "-o", "json"), id) {
		t.Error("a revoked token is listed")
	}
	c.says(c.ok("get", "audit"), "token.create", "token.revoke token "+id)
	c.says(c.ok("get", "audit", "--search", "revoke", "-o", "yaml"), "action: token.revoke", `"name":"ann"`)
	for _, bad := range [][]string{
		{"token", "create", "--role", "king"}, {"token", "create", "--name", "x"}, {"token", "create", "--role", "viewer", "--single-use"}, {"token", "revoke", "ab"},
		{"token", "create", "--role", "admin", "--certificate", dir}, {"get", "usage", "--by", "colour"}, {"get", "usage", "--since", "soon"}, {"get", "audit", "--limit", "0"},
		{"get", "usage", "--since", "1h", "--until", "2h"},
	} {
		if out, err := c.run("", bad...); err == nil {
			t.Errorf("%v: %s", bad, out)
		}
	}
	c.says(c.ok("get", "usage", "--by", "pair"), "CONTAINER NETWORK PEER")
	if got := strings.TrimSpace(c.ok("get", "usage", "-o", "json")); got != "[]" {
		t.Errorf("usage of nobody: %s", got)
	}
}
