package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Why a program cannot be run.
var (
	ErrNotFound      = errors.New("command not found")
	ErrNotExecutable = errors.New("cannot execute")
)

// Find finds the file that execvp would run for name; path has the form of PATH.
func Find(name, path string) (string, error) {
	if strings.Contains(name, "/") {
		return name, executable(name)
	}
	var denied error
	for _, dir := range strings.Split(path, ":") {
		file := filepath.Join(dir, name)
		if dir == "" || dir == "." {
			file = "./" + name
		}
		err := executable(file)
		if err == nil {
			return file, nil
		}
		if errors.Is(err, ErrNotExecutable) && denied == nil {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", fmt.Errorf("%s: %w", name, ErrNotFound)
}

func executable(file string) error {
	st, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w: permission denied", file, ErrNotExecutable)
	case err != nil:
		return fmt.Errorf("%s: %w", file, ErrNotFound)
	case st.IsDir():
		return fmt.Errorf("%s: %w: it is a directory", file, ErrNotExecutable)
	case unix.Faccessat(unix.AT_FDCWD, file, unix.X_OK, unix.AT_EACCESS) != nil:
		return fmt.Errorf("%s: %w: permission denied", file, ErrNotExecutable)
	}
	return nil
}
