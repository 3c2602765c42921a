package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/container"
	"github.com/freeflow-rdma/freeflow/internal/container/image"
	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// answerTime is how long a router may take to answer; a living one takes a millisecond.
const answerTime = 3 * time.Second

// checkRouter asks the router who it is. That there is none is no fault of the machine.
func checkRouter(ctx context.Context, runDir string) Finding {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	s, err := admin.NewClient(runDir).Status(ctx)
	if errors.Is(err, admin.ErrNotRunning) {
		return Finding{"router", Warning, "not running on " + runDir, "start it: freeflow up --run-dir " + runDir}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer in %s", answerTime)
	}
	return verdict("router", err, Missing, fmt.Sprintf("version %s, process %d, %d containers", s.Version, s.PID, s.Containers),
		"see the router's log; if it hangs, restart it: containers register again")
}

// checkProgram looks at a program that `freeflow run` would start here.
func checkProgram(name string) []Finding {
	path, err := image.Find(name, os.Getenv("PATH"))
	if err != nil {
		return []Finding{verdict("program", err, Missing, "", "give the path of a program that is installed")}
	}
	return append([]Finding{inspectProgram(path)}, inspectLibraries(image.OwnLibraries())...)
}

func inspectProgram(path string) Finding {
	p, err := image.Inspect(path)
	if err == nil && p.Warning() != "" {
		err = errors.New(p.Warning())
	}
	if err == nil && p.NotELF {
		return Finding{"program", Warning, path + " is neither a binary nor a script with an interpreter", "the shell will be tried"}
	}
	return verdict("program", err, Missing, fmt.Sprintf("%s: dynamic, loaded by %s", path, p.Loader), "use a build of the program that is linked dynamically against glibc")
}

func inspectLibraries(l image.Libraries) []Finding {
	found := func(check, path string, level Level, advice string) Finding {
		if path == "" {
			return Finding{check, level, "not found", advice}
		}
		return Finding{Check: check, Detail: path}
	}
	return []Finding{
		found("libibverbs", l.Verbs, Missing, "install it (Debian: libibverbs1, Fedora: libibverbs), unless the program brings its own"),
		found("rxe provider", l.Provider, Missing, "install rdma-core's providers (Debian: ibverbs-providers, Fedora: libibverbs)"),
		found("rxe provider's entry", l.Driver, Missing, "put a file rxe.driver with the line `driver rxe` into /etc/libibverbs.d"),
		found("librdmacm", l.RDMACM, Warning, "install it (Debian: librdmacm1, Fedora: librdmacm) for programs that use it"),
		found("librspreload", l.Sockets, Warning, "install it (Debian: librdmacm1, Fedora: librdmacm) for `freeflow run --sockets`"),
	}
}

// checkContainer looks into a container that runs.
func checkContainer(ctx context.Context, runDir, name string) []Finding {
	rows, err := admin.NewClient(runDir).Containers(ctx)
	if err != nil {
		return []Finding{verdict("container", err, Missing, "", "")}
	}
	for _, row := range rows {
		if row.Name == name {
			return examineContainer(runDir, row)
		}
	}
	return []Finding{{"container", Missing, "there is none named " + name, "see: freeflow get containers"}}
}

func examineContainer(runDir string, row admin.ContainerRow) []Finding {
	root := fmt.Sprintf("/proc/%d/root", row.PID)
	device := filepath.Join(runDir, "containers", row.ID, "root", "sys/class/infiniband", container.DeviceName)
	_, deviceErr := os.Stat(device)
	_, libraryErr := os.Stat(filepath.Join(root, container.LibraryPath(runDir)))
	findings := []Finding{
		{Check: "container", Detail: fmt.Sprintf("%s, address %s, process %d", row.Name, row.IP, row.PID)},
		verdict("container's device", deviceErr, Missing, device, "restart the container"),
		verdict("container's library", libraryErr, Missing, container.LibraryPath(runDir), "the run directory must be visible in the container under the same path"),
		verdict("container's network", tryContainerNetwork(row), Missing, "eth0 is up", "restart the container"),
	}
	return append(findings, inspectLibraries(image.FindLibraries(root, ""))...)
}

func tryContainerNetwork(row admin.ContainerRow) error {
	ns, err := vnet.NamespaceOfProcess(row.PID)
	if err != nil {
		return err
	}
	defer ns.Close()
	return ns.Do(func() error { return interfaceHas(vnet.ContainerLink, row.IP) })
}
