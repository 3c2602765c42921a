package guest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/test/interop/guest/proto"
)

// Image is what guests boot. It is never written to.
type Image struct {
	Kernel string // the path of an ELF vmlinux
	Initrd string
}

// programs are what a guest has besides busybox, and the packages that they come from.
var programs = map[string][]string{
	"dash":     {"sh"}, // busybox' runs applets of its own where iproute2's are meant
	"iproute2": {"ip", "tc", "ss", "rdma"},
	"ibverbs-utils": {"ibv_devinfo", "ibv_devices", "ibv_rc_pingpong", "ibv_uc_pingpong", "ibv_ud_pingpong",
		"ibv_srq_pingpong", "ibv_asyncwatch"},
	"rdmacm-utils": {"rping", "ucmatose", "udaddy", "mckey", "rstream", "riostream", "cmtime", "udpong", "rcopy",
		"rdma_server", "rdma_client", "rdma_xserver", "rdma_xclient"},
	"perftest": {"ib_send_bw", "ib_send_lat", "ib_write_bw", "ib_write_lat", "ib_read_bw", "ib_read_lat",
		"ib_atomic_bw", "ib_atomic_lat"},
	"qperf":     {"qperf"},
	"coreutils": {"stdbuf"},
}

// packages are all that decide what is in an image, or are needed to make one.
var packages = []string{"busybox-static", "dash", "iproute2", "ibverbs-utils", "rdmacm-utils", "perftest", "qperf", "ibverbs-providers",
	"libibverbs1", "librdmacm1", "libc6", "libgcc-s1", "coreutils"}

// Libraries that are opened by name, so that nothing says who needs them: libibverbs' provider, what pthread_exit wants, and stdbuf's.
const (
	rxeProvider = "/usr/lib/x86_64-linux-gnu/libibverbs/librxe-rdmav34.so"
	pthreadExit = "/lib/x86_64-linux-gnu/libgcc_s.so.1"
	stdbuf      = "/usr/libexec/coreutils/libstdbuf.so"
)

var build = sync.OnceValues(makeImage)

// Build gives the image, which it makes if no earlier test has: some twenty seconds, and 70 MB to download. It fails the
// test if something is missing, and says what to install.
func Build(t testing.TB) *Image {
	t.Helper()
	image, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// makeImage finds or makes the image whose directory is named for all that goes into it.
func makeImage() (*Image, error) {
	k, err := findKernel()
	if err != nil {
		return nil, err
	}
	key, err := versions()
	if err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp("", "ff-guest-build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	agent := filepath.Join(work, "agent")
	if err := buildAgent(agent); err != nil {
		return nil, err
	}
	h := sha256.New()
	fmt.Fprintln(h, key, k.pack, k.version, wanted, programs)
	if err := hashFile(h, agent); err != nil {
		return nil, err
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("ff-guest-%.16x", h.Sum(nil)))
	// Tests of several packages may want it at the same time.
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "ff-guest.lock"), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, err
	}
	image := &Image{Kernel: filepath.Join(dir, "vmlinux"), Initrd: filepath.Join(dir, "initrd")}
	if isOurs(dir) {
		return image, os.Chtimes(dir, time.Time{}, time.Now())
	}
	removeOld()
	return image, image.make(k, work, agent)
}

// removeOld removes images that no test has wanted for a day: those of other versions.
func removeOld() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), "ff-guest-[0-9a-f]*"))
	for _, dir := range dirs {
		if st, err := os.Lstat(dir); err == nil && isOurs(dir) && time.Since(st.ModTime()) > 24*time.Hour {
			os.RemoveAll(dir)
		}
	}
}

// isOurs says whether there is a finished image that nobody else can have written.
func isOurs(dir string) bool {
	var st unix.Stat_t
	return unix.Lstat(dir, &st) == nil && st.Mode == unix.S_IFDIR|0o700 && int(st.Uid) == os.Geteuid()
}

// make fills a directory beside the image's and renames it, so that an image is there as a whole or not at all.
func (i *Image) make(k kernel, work, agent string) error {
	k, err := k.unpack(work)
	if err != nil {
		return err
	}
	fresh := filepath.Join(work, "image")
	if err := os.Mkdir(fresh, 0o700); err != nil {
		return err
	}
	if err := k.extract(filepath.Join(fresh, "vmlinux")); err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(fresh, "initrd"))
	if err != nil {
		return err
	}
	if err := errors.Join(fill(newArchive(out), k, agent), out.Close()); err != nil {
		return fmt.Errorf("make the guests' initramfs: %w", err)
	}
	return os.Rename(fresh, filepath.Dir(i.Kernel))
}

// fill writes everything into the archive.
func fill(a *archive, k kernel, agent string) error {
	for _, dir := range []string{"proc", "sys", "dev", "tmp", "run", "root", "usr/lib", "usr/bin"} {
		a.dir(dir)
	}
	a.symlink("bin", "usr/bin")
	a.symlink("lib", "usr/lib")
	a.symlink("lib64", "usr/lib64")
	a.file("init", agent)
	modules, err := moduleFiles(k.modules())
	if err != nil {
		return err
	}
	var list strings.Builder
	for _, m := range modules {
		name := "/modules/" + filepath.Base(m)
		a.file(name, m)
		fmt.Fprintln(&list, name)
	}
	a.bytes(proto.Modules, []byte(list.String()))
	if err := fillPrograms(a); err != nil {
		return err
	}
	return a.close()
}

func fillPrograms(a *archive) error {
	objects := []string{rxeProvider}
	for _, names := range programs {
		for _, name := range names {
			path, err := exec.LookPath(name)
			if err != nil {
				return err
			}
			a.file("/usr/bin/"+name, path)
			objects = append(objects, path)
		}
	}
	libraries, err := librariesOf(objects)
	if err != nil {
		return err
	}
	for _, path := range append(libraries, pthreadExit) {
		a.file("/usr"+strings.TrimPrefix(path, "/usr"), path)
	}
	a.file(rxeProvider, rxeProvider)
	a.file(stdbuf, stdbuf)
	a.file("/etc/libibverbs.d/rxe.driver", "/etc/libibverbs.d/rxe.driver")
	a.bytes("/etc/passwd", []byte("root:x:0:0:root:/:/bin/sh\n"))
	a.bytes("/etc/hosts", []byte("127.0.0.1 localhost\n"))
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	a.file("/usr/bin/busybox", busybox)
	applets, err := exec.Command(busybox, "--list").Output()
	for applet := range strings.FieldsSeq(string(applets)) {
		a.symlink("/usr/bin/"+applet, "busybox") // unless there is one
	}
	return err
}

// librariesOf asks the dynamic linker, once for all.
func librariesOf(objects []string) ([]string, error) {
	out, err := exec.Command("ldd", objects...).Output()
	if err != nil {
		return nil, fmt.Errorf("ldd: %w", err)
	}
	set := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		for field := range strings.FieldsSeq(line) {
			if strings.HasPrefix(field, "/") && !strings.HasSuffix(field, ":") {
				set[field] = true
			}
		}
	}
	paths := make([]string, 0, len(set))
	for path := range set {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	return paths, nil
}

// versions names the packages as they are installed, and fails with what to install.
func versions() (string, error) {
	out, err := exec.Command("dpkg-query", append([]string{"-W", "-f", "${Package}=${Version} "}, packages...)...).Output()
	var missing []string
	for _, p := range packages {
		if !strings.Contains(" "+string(out), " "+p+"=") {
			missing = append(missing, p)
		}
	}
	if _, err := exec.LookPath(qemu); err != nil {
		missing = append(missing, "qemu-system-x86")
	}
	if len(missing) > 0 {
		return "", fmt.Errorf("packages are missing: apt-get install --no-install-recommends %s", strings.Join(missing, " "))
	}
	return string(out), err
}

func buildAgent(to string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-buildvcs=false", "-o", to, "github.com/freeflow-rdma/freeflow/test/interop/guest/agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the guests' agent: %w\n%s", err, out)
	}
	return nil
}

func hashFile(into io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(into, f)
	return err
}
