package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// dirPrefix begins the names of the directories below os.TempDir; the process that made it follows.
const dirPrefix = "ff-e2e-"

// scratch is this process' directory, made on first use.
var scratch = sync.OnceValues(func() (string, error) {
	removeStale()
	return os.MkdirTemp("", fmt.Sprintf("%s%d-", dirPrefix, os.Getpid()))
})

// Main runs the tests of a package and removes what the package made: call it from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if n := skipped.Load(); n > 0 {
		fmt.Printf("skipped: %d, see -v for the reasons\n", n)
	}
	if dir, err := scratch(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// removeStale removes the directories of test processes that were killed.
func removeStale() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	for _, dir := range dirs {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), dirPrefix), "-")
		pid, err := strconv.Atoi(owner)
		if err == nil && errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			os.RemoveAll(dir)
		}
	}
}

// root is the directory of go.mod.
var root = sync.OnceValues(func() (string, error) {
	dir, err := os.Getwd()
	for err == nil && dir != "/" {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		dir = filepath.Dir(dir)
	}
	return "", errors.Join(errors.New("no go.mod above the test"), err)
})

// freeflow builds the binary with the library in it, once a process. FREEFLOW_BIN names another.
var freeflow = sync.OnceValues(func() (string, error) {
	if bin := os.Getenv("FREEFLOW_BIN"); bin != "" {
		return filepath.Abs(bin)
	}
	dir, err := scratch()
	if err != nil {
		return "", err
	}
	top, err := root()
	if err != nil {
		return "", err
	}
	// Packages are tested at the same time, and share the library's build directory.
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "freeflow-test-build.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "freeflow")
	if out, err := exec.Command("make", "-s", "-C", top, "build", "BIN="+bin).CombinedOutput(); err != nil {
		return "", fmt.Errorf("make build: %w\n%s", err, out)
	}
	return bin, nil
})

var (
	programsMu sync.Mutex
	programs   = map[string]func() (string, error){}
)

// Program compiles test/programs/NAME.c, once a process, and gives the path of the result.
func Program(t testing.TB, name string) string {
	t.Helper()
	programsMu.Lock()
	build, ok := programs[name]
	if !ok {
		build = sync.OnceValues(func() (string, error) { return compile(name) })
		programs[name] = build
	}
	programsMu.Unlock()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func compile(name string) (string, error) {
	if _, err := exec.LookPath("gcc"); err != nil {
		return "", errors.New("gcc is missing: apt-get install gcc libc6-dev")
	}
	if _, err := os.Stat("/usr/include/infiniband/verbs.h"); err != nil {
		return "", errors.New("infiniband/verbs.h is missing: apt-get install libibverbs-dev")
	}
	if _, err := os.Stat("/usr/include/rdma/rdma_cma.h"); err != nil {
		return "", errors.New("rdma/rdma_cma.h is missing: apt-get install librdmacm-dev")
	}
	dir, err := scratch()
	if err != nil {
		return "", err
	}
	top, err := root()
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, name)
	cmd := exec.Command("gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-pthread",
		"-I", filepath.Join(top, "lib"), "-o", out, filepath.Join(top, "test", "programs", name+".c"),
		"-Wl,--as-needed", "-lrdmacm", "-libverbs", "-ldl")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile %s.c: %w\n%s", name, err, msg)
	}
	return out, nil
}

// packages says where the programs of the tests come from.
var packages = map[string]string{
	"ibv_devinfo": "ibverbs-utils", "ibv_rc_pingpong": "ibverbs-utils", "ibv_uc_pingpong": "ibverbs-utils",
	"ibv_ud_pingpong": "ibverbs-utils", "ibv_srq_pingpong": "ibverbs-utils",
	"ib_send_bw": "perftest", "ib_send_lat": "perftest", "ib_write_bw": "perftest", "ib_write_lat": "perftest",
	"ib_read_bw": "perftest", "ib_read_lat": "perftest", "ib_atomic_bw": "perftest", "ib_atomic_lat": "perftest",
	"rping": "rdmacm-utils", "ucmatose": "rdmacm-utils", "udaddy": "rdmacm-utils", "mckey": "rdmacm-utils", "rstream": "rdmacm-utils",
	"riostream": "rdmacm-utils", "rcopy": "rdmacm-utils", "cmtime": "rdmacm-utils", "rdma_server": "rdmacm-utils", "rdma_xserver": "rdmacm-utils",
	"ip": "iproute2", "iperf": "iperf", "NPtcp": "netpipe-tcp", "iperf3": "iperf3", "qperf": "qperf", "tshark": "tshark", "etcd": "etcd-server",
}

// Need fails the test if a program is missing, and says what to install.
func Need(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%s is missing: apt-get install %s", name, packages[name])
		}
	}
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("end-to-end tests make network namespaces and links: run them as root")
	}
}
