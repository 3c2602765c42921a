package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/freeflow-rdma/freeflow/internal/orchestrator"
)

// dataDirFile is a file of a run directory that names the data directory of the orchestrator which `freeflow up` runs along with the router:
// whoever says which router he means need not say where its orchestrator is.
const dataDirFile = "data-dir"

// noteDataDir writes it. The run directory is there.
func noteDataDir(runDir, dataDir string) error {
	name := filepath.Join(runDir, dataDirFile)
	if err := os.WriteFile(name+".new", []byte(dataDir+"\n"), 0o644); err != nil {
		return fmt.Errorf("note the data directory: %w", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("note the data directory: %w", err)
	}
	return nil
}

// notedDataDir reads it: the default if there is none.
func notedDataDir(runDir string) string {
	text, err := os.ReadFile(filepath.Join(runDir, dataDirFile))
	if dir := strings.TrimSpace(string(text)); err == nil && filepath.IsAbs(dir) {
		return dir
	}
	return orchestrator.DefaultDataDir
}

// forgetDataDir removes it.
func forgetDataDir(runDir string) error {
	if err := os.Remove(filepath.Join(runDir, dataDirFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the data directory: %w", err)
	}
	return nil
}
