package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/orchestrator"
)

func TestDataDirOfARunDir(t *testing.T) {
	dir := t.TempDir()
	want := func(what, dataDir string) {
		t.Helper()
		if got := notedDataDir(dir); got != dataDir {
			t.Errorf("%s: %s, want %s", what, got, dataDir)
		}
	}
	want("nothing noted", orchestrator.DefaultDataDir)
	for _, d := range []string{"/var/lib/a", "/var/lib/b c"} {
		if err := noteDataDir(dir, d); err != nil {
			t.Fatal(err)
		}
		want("noted", d)
	}
	if err := os.WriteFile(filepath.Join(dir, dataDirFile), []byte("elsewhere"), 0o600); err != nil {
		t.Fatal(err)
	}
	want("nonsense", orchestrator.DefaultDataDir)
	for range 2 {
		if err := forgetDataDir(dir); err != nil {
			t.Fatal(err)
		}
	}
	want("forgotten", orchestrator.DefaultDataDir)
}
