package doctor

import (
	"os"
	"strings"
	"testing"
)

func TestExamineThisMachine(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces and links: run it as root")
	}
	report := Examine(t.Context(), Options{RunDir: t.TempDir(), Program: "sh", Container: "none"})
	levels := make(map[string]Level)
	for _, f := range report {
		levels[f.Check] = f.Level
		if f.Level != OK && f.Advice == "" && f.Check != "container" {
			t.Errorf("%s: %s, but no advice", f.Check, f.Detail)
		}
	}
	for check, want := range map[string]Level{
		"privileges": OK, "namespaces, bridges, veths": OK, "sealed shared memory": OK, "memory of other processes": OK,
		"router": Warning, "program": OK, "container": Missing,
	} {
		if got, ok := levels[check]; !ok || got != want {
			t.Errorf("%s: %v (checked: %v), want %v", check, got, ok, want)
		}
	}
	if report.Healthy() {
		t.Error("healthy in spite of a missing container")
	}
}

func TestPrint(t *testing.T) {
	var out strings.Builder
	r := Report{{"one", OK, "good", "unused"}, {"two", Warning, "bad", "mend it"}}
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "good\n") || strings.Contains(got, "unused") || !strings.Contains(got, "→ mend it") {
		t.Errorf("printed\n%s", got)
	}
	if !r.Healthy() {
		t.Error("a warning makes it unhealthy")
	}
}
