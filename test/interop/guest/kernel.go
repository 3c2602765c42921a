package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// kernel is Debian's ordinary one (not the cloud one, which has no rdma_rxe): installed, or unpacked from its package.
type kernel struct {
	pack    string // the package and its version; empty if it is installed
	version string // as in uname -r
	root    string // "/" or where the package is unpacked
}

const rxeModule = "kernel/drivers/infiniband/sw/rxe/rdma_rxe.ko"

// findKernel prefers one that is installed; else it asks apt which there is, and downloads nothing yet.
func findKernel() (kernel, error) {
	if k, err := kernelBelow("/"); err == nil {
		return k, nil
	}
	out, err := exec.Command("apt-cache", "depends", "linux-image-amd64").Output()
	name := regexp.MustCompile(`linux-image-\S+-amd64`).FindString(strings.TrimPrefix(string(out), "linux-image-amd64"))
	if err != nil || name == "" {
		return kernel{}, fmt.Errorf("no kernel for the guests: apt-get update, or apt-get install linux-image-amd64 (%w)", err)
	}
	out, err = exec.Command("apt-cache", "show", "--no-all-versions", name).Output()
	version := regexp.MustCompile(`(?m)^Version: (\S+)$`).FindStringSubmatch(string(out))
	if err != nil || version == nil {
		return kernel{}, fmt.Errorf("apt-cache show %s: %w", name, err)
	}
	return kernel{pack: name + "=" + version[1], version: strings.TrimPrefix(name, "linux-image-")}, nil
}

// kernelBelow finds the newest kernel below a directory that has both its image and rdma_rxe.
func kernelBelow(root string) (k kernel, err error) {
	found, _ := filepath.Glob(filepath.Join(root, "lib/modules/*", rxeModule))
	for i := len(found) - 1; i >= 0; i-- {
		version := filepath.Base(strings.TrimSuffix(found[i], rxeModule))
		k = kernel{version: version, root: root}
		if _, err := os.Stat(k.image()); err == nil {
			return k, nil
		}
	}
	return k, fmt.Errorf("no kernel with rdma_rxe below %s", root)
}

func (k kernel) image() string   { return filepath.Join(k.root, "boot/vmlinuz-"+k.version) }
func (k kernel) modules() string { return filepath.Join(k.root, "lib/modules", k.version) }

// unpack downloads the package and unpacks it below dir, where it touches nothing of the machine.
func (k kernel) unpack(dir string) (kernel, error) {
	if k.pack == "" {
		return k, nil
	}
	get := exec.Command("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", k.pack)
	get.Dir = dir
	if out, err := get.CombinedOutput(); err != nil {
		return k, fmt.Errorf("apt-get download %s (after apt-get update, or apt-get install linux-image-amd64): %w\n%s", k.pack, err, out)
	}
	debs, _ := filepath.Glob(filepath.Join(dir, "linux-image-*.deb"))
	if len(debs) != 1 {
		return k, fmt.Errorf("apt-get download %s left %v", k.pack, debs)
	}
	root := filepath.Join(dir, "root")
	if out, err := exec.Command("dpkg", "-x", debs[0], root).CombinedOutput(); err != nil {
		return k, fmt.Errorf("dpkg -x %s: %w\n%s", debs[0], err, out)
	}
	return kernelBelow(root)
}

// extract writes the ELF image that is in the bzImage: QEMU enters it directly (PVH), which saves the guest two seconds of
// unpacking. Offsets: kernel, Documentation/arch/x86/boot.rst.
func (k kernel) extract(to string) error {
	image, err := os.ReadFile(k.image())
	if err != nil {
		return err
	}
	if len(image) < 0x250 || string(image[0x202:0x206]) != "HdrS" {
		return fmt.Errorf("%s is no bzImage", k.image())
	}
	start := (int(image[0x1f1])+1)*512 + int(binary.LittleEndian.Uint32(image[0x248:]))
	length := int(binary.LittleEndian.Uint32(image[0x24c:]))
	if start+length > len(image) {
		return fmt.Errorf("%s is cut short", k.image())
	}
	payload := image[start : start+length]
	var unpack *exec.Cmd
	switch {
	case strings.HasPrefix(string(payload), "\xfd7zXZ"):
		unpack = exec.Command("xz", "-dc", "--single-stream") // four bytes of size follow the stream
	case strings.HasPrefix(string(payload), "\x28\xb5\x2f\xfd"):
		unpack = exec.Command("zstd", "-dcq")
		payload = payload[:length-4]
	default:
		return fmt.Errorf("%s is packed in an unknown way: % x", k.image(), payload[:4])
	}
	return pipe(unpack, payload, to)
}

// pipe writes what a command makes of data to a file.
func pipe(cmd *exec.Cmd, data []byte, to string) error {
	if _, err := exec.LookPath(cmd.Args[0]); err != nil {
		return fmt.Errorf("%s is missing: apt-get install xz-utils zstd", cmd.Args[0])
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	cmd.Stdin, cmd.Stdout = strings.NewReader(string(data)), out
	if err := errors.Join(cmd.Run(), out.Close()); err != nil {
		return fmt.Errorf("%s: %w", cmd.Args[0], err)
	}
	return nil
}
