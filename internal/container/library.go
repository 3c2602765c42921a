package container

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// LibraryPath is where the containers' programs find the preloaded library of the router on runDir.
func LibraryPath(runDir string) string { return filepath.Join(runDir, "lib", "libfreeflow.so") }

// InstallLibrary puts the library into the run directory. A file that is there already is replaced by a
// new one, never written over: programs have it mapped.
func InstallLibrary(runDir string, content []byte) error {
	path := LibraryPath(runDir)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return nil
	}
	dir, temp := filepath.Dir(path), path+".new"
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o755)); err != nil {
		return fmt.Errorf("make library directory: %w", err)
	}
	if err := os.WriteFile(temp, content, 0o755); err != nil {
		return fmt.Errorf("install library: %w", err)
	}
	if err := errors.Join(os.Chmod(temp, 0o755), os.Rename(temp, path)); err != nil {
		return fmt.Errorf("install library: %w", err)
	}
	return nil
}
