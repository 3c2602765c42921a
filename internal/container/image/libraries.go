package image

import (
	"os"
	"path/filepath"
	"strings"
)

// Libraries is what is installed of the RDMA libraries.
type Libraries struct {
	Verbs    string // libibverbs.so.1
	RDMACM   string // librdmacm.so.1
	Provider string // the rxe provider, which drives the virtual device
	Driver   string // the file that tells libibverbs of it
	Sockets  string // librspreload.so, which makes RDMA connections of a program's sockets
}

// libraryDirs are where distributions put libraries, as patterns below the root.
var libraryDirs = []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*", "usr/lib64", "lib64", "usr/lib", "lib", "usr/local/lib", "usr/local/lib64"}

var driverDirs = []string{"etc/libibverbs.d", "usr/etc/libibverbs.d", "usr/local/etc/libibverbs.d", "usr/share/libibverbs.d"}

// FindLibraries looks for the RDMA libraries below root, "/" for the calling process' own, and in the
// directories of libraryPath, which has the form of LD_LIBRARY_PATH.
func FindLibraries(root, libraryPath string) Libraries {
	dirs := filepath.SplitList(libraryPath)
	for _, pattern := range libraryDirs {
		dirs = append(dirs, filepath.Join(root, pattern))
	}
	drivers := make([]string, 0, len(driverDirs))
	for _, dir := range driverDirs {
		drivers = append(drivers, filepath.Join(root, dir))
	}
	return Libraries{
		Verbs:    first(dirs, "libibverbs.so.1"),
		RDMACM:   first(dirs, "librdmacm.so.1"),
		Provider: first(dirs, "libibverbs/librxe-rdmav*.so", "librxe-rdmav*.so"),
		Driver:   first(drivers, "rxe.driver"),
		Sockets:  first(dirs, "rsocket/librspreload.so", "rsocket/librspreload.so.1"),
	}
}

func first(dirs []string, patterns ...string) string {
	for _, dir := range dirs {
		for _, pattern := range patterns {
			found, err := filepath.Glob(filepath.Join(dir, pattern))
			if err == nil && len(found) > 0 {
				return found[0]
			}
		}
	}
	return ""
}

// Warning says in one line what is missing; nothing if all is there.
func (l Libraries) Warning() string {
	var missing []string
	if l.Provider == "" {
		missing = append(missing, "the rxe provider (librxe-rdmav*.so)")
	}
	if l.Driver == "" {
		missing = append(missing, "its rxe.driver in /etc/libibverbs.d")
	}
	if len(missing) == 0 {
		return ""
	}
	return "not found: " + strings.Join(missing, " and ") + ": programs see no RDMA device; install rdma-core's providers (Debian: ibverbs-providers, Fedora: libibverbs)"
}

// OwnLibraries are those that a program started by this process finds.
func OwnLibraries() Libraries { return FindLibraries("/", os.Getenv("LD_LIBRARY_PATH")) }
