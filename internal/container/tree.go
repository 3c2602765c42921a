package container

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// The virtual device, as the kernel's Soft-RoCE would present it. The provider of rdma-core claims any
// device whose name begins with "rxe".
const (
	DeviceName   = "rxe0"
	UverbsName   = "uverbs0"
	UverbsDevice = "231:192" // major and minor of the kernel's own uverbs0
	CMName       = "rdma_cm"
	CMDevice     = "10:60" // of the kernel's own rdma_cm
	NetDevice    = "eth0"
)

// FirmwareVersion is what fw_ver says, and QUERY_DEVICE.
const FirmwareVersion = "0.0.0"

// PortCapMask is the port's capability mask: IB_PORT_CM_SUP, as Soft-RoCE has it.
const PortCapMask = 0x00010000

// NodeGUID is the GUID of the virtual device whose eth0 has the address mac. QUERY_DEVICE must say the same.
func NodeGUID(mac net.HardwareAddr) [8]byte { return vnet.EUI64(mac) }

// GIDs is the GID table of a container, in the kernel's order: the link-local address first, then the
// IPv4 address (v4-mapped), then further IPv6 addresses.
func GIDs(ip netip.Addr, more ...netip.Addr) []netip.Addr {
	gids := []netip.Addr{vnet.LinkLocal(vnet.MAC(ip)), netip.AddrFrom16(ip.As16())}
	return append(gids, more...)
}

// Tree says what the files of a container's virtual device contain.
type Tree struct {
	GIDs     []netip.Addr
	NodeGUID [8]byte
}

// WriteTree makes the tree in the directory root, which exists, and can be called again when the GIDs
// have changed. What the programs of a container find there, they find under / (docs/abi.md, "The virtual
// root"). Everything is readable by all and writable by the owner only; programs that run as root can
// spoil it, but only for themselves, since nothing is ever read back from it and links that lead out of
// root are not followed.
func WriteTree(root string, t Tree) error {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return fmt.Errorf("open container tree: %w", err)
	}
	defer dir.Close()

	w := treeWriter{root: dir, kept: make(map[string]bool)}
	w.verbs()
	w.cm()
	w.device(t)
	w.port(t)
	w.removeStale()
	w.keepBirthday()
	if w.err != nil {
		return fmt.Errorf("write container tree %s: %w", root, w.err)
	}
	return nil
}

const (
	verbsDir  = "sys/class/infiniband_verbs"
	deviceDir = "sys/class/infiniband/" + DeviceName
	portDir   = deviceDir + "/ports/1"
	cmDir     = "sys/class/misc/" + CMName
	devDir    = "dev/infiniband"
)

// treeWriter writes files until the first error.
type treeWriter struct {
	root *os.Root
	kept map[string]bool // entries of the GID directories that belong there
	err  error
}

func (w *treeWriter) verbs() {
	w.file(verbsDir+"/abi_version", "6")
	w.file(verbsDir+"/"+UverbsName+"/dev", UverbsDevice)
	w.file(verbsDir+"/"+UverbsName+"/ibdev", DeviceName)
	w.file(verbsDir+"/"+UverbsName+"/abi_version", "2")
	w.write(devDir+"/"+UverbsName, nil, 0o666)
}

func (w *treeWriter) cm() {
	w.file(cmDir+"/abi_version", "4")
	w.file(cmDir+"/dev", CMDevice)
	w.write(devDir+"/"+CMName, nil, 0o666)
}

func (w *treeWriter) device(t Tree) {
	guid := formatGUID(t.NodeGUID)
	w.file(deviceDir+"/node_type", "1: CA")
	w.file(deviceDir+"/node_guid", guid)
	w.file(deviceDir+"/sys_image_guid", guid)
	w.file(deviceDir+"/node_desc", "FreeFlow virtual RDMA device")
	w.file(deviceDir+"/fw_ver", FirmwareVersion)
	w.file(deviceDir+"/device/net/"+NetDevice+"/uevent", "INTERFACE="+NetDevice) // some look here for the interface that a device belongs to
}

func (w *treeWriter) port(t Tree) {
	w.file(portDir+"/state", "4: ACTIVE")
	w.file(portDir+"/phys_state", "5: LinkUp")
	w.file(portDir+"/link_layer", "Ethernet")
	w.file(portDir+"/rate", "100 Gb/sec (4X EDR)")
	w.file(portDir+"/lid", "0x0")
	w.file(portDir+"/lid_mask_count", "0")
	w.file(portDir+"/sm_lid", "0x0")
	w.file(portDir+"/sm_sl", "0")
	w.file(portDir+"/cap_mask", fmt.Sprintf("0x%08x", PortCapMask))
	w.file(portDir+"/pkeys/0", "0xffff")
	for i, gid := range t.GIDs {
		w.file(fmt.Sprintf("%s/gids/%d", portDir, i), formatGID(gid))
		w.file(fmt.Sprintf("%s/gid_attrs/types/%d", portDir, i), "RoCE v2")
		w.file(fmt.Sprintf("%s/gid_attrs/ndevs/%d", portDir, i), NetDevice)
	}
}

// file writes one attribute, with the newline that the kernel's have.
func (w *treeWriter) file(name, content string) {
	w.write(name, []byte(content+"\n"), 0o444)
}

// write leaves a file alone that is as it should be, so that readers never meet half of one; another is
// put in place at once.
func (w *treeWriter) write(name string, content []byte, mode fs.FileMode) {
	w.kept[name] = true
	if w.err != nil {
		return
	}
	if old, err := w.root.ReadFile(name); err == nil && bytes.Equal(old, content) {
		return
	}
	w.directory(path.Dir(name))
	temp := name + ".new"
	w.do(w.root.WriteFile(temp, content, 0o600))
	w.do(w.root.Chmod(temp, mode)) // whatever the umask
	w.do(w.root.Rename(temp, name))
}

// directory makes name and what is above it.
func (w *treeWriter) directory(name string) {
	if w.err != nil || name == "." {
		return
	}
	if st, err := w.root.Stat(name); err == nil && st.IsDir() {
		return
	}
	w.directory(path.Dir(name))
	w.do(w.root.Mkdir(name, 0o755))
	w.do(w.root.Chmod(name, 0o755))
}

// removeStale removes GIDs beyond the table: a program counts the files.
func (w *treeWriter) removeStale() {
	for _, dir := range []string{"gids", "gid_attrs/types", "gid_attrs/ndevs"} {
		if w.err != nil {
			return
		}
		entries, err := fs.ReadDir(w.root.FS(), portDir+"/"+dir)
		w.do(err)
		for _, e := range entries {
			name := portDir + "/" + dir + "/" + e.Name()
			if !w.kept[name] {
				w.do(w.root.Remove(name))
			}
		}
	}
}

// birthday is a file outside the device's directory whose modification time is the device's creation.
const birthday = "birthday"

// keepBirthday sets the time of the device's directory, which rdma-core takes for the time at which the
// device appeared: a change would make it a new device.
func (w *treeWriter) keepBirthday() {
	if w.err != nil {
		return
	}
	born := time.Now().Truncate(time.Second)
	if st, err := w.root.Stat(birthday); err == nil {
		born = st.ModTime()
	} else if errors.Is(err, fs.ErrNotExist) {
		w.do(w.root.WriteFile(birthday, nil, 0o600))
		w.do(w.root.Chtimes(birthday, born, born))
	}
	w.do(w.root.Chtimes(deviceDir, born, born))
}

func (w *treeWriter) do(err error) {
	if w.err == nil {
		w.err = err
	}
}

// formatGID writes eight groups of four digits, as the kernel does, never shortened.
func formatGID(gid netip.Addr) string {
	b := gid.As16()
	var groups [8][]byte
	for i := range groups {
		groups[i] = fmt.Appendf(nil, "%02x%02x", b[2*i], b[2*i+1])
	}
	return string(bytes.Join(groups[:], []byte(":")))
}

func formatGUID(g [8]byte) string {
	return fmt.Sprintf("%02x%02x:%02x%02x:%02x%02x:%02x%02x", g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7])
}
