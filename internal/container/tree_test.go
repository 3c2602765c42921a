package container

import (
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// The whole tree of the container 10.77.0.1, as rdma-core reads it.
var golden = map[string]string{
	"sys/class/infiniband_verbs/abi_version":              "6\n",
	"sys/class/infiniband_verbs/uverbs0/dev":              "231:192\n",
	"sys/class/infiniband_verbs/uverbs0/ibdev":            "rxe0\n",
	"sys/class/infiniband_verbs/uverbs0/abi_version":      "2\n",
	"sys/class/infiniband/rxe0/node_type":                 "1: CA\n",
	"sys/class/infiniband/rxe0/node_guid":                 "00ff:0aff:fe4d:0001\n",
	"sys/class/infiniband/rxe0/sys_image_guid":            "00ff:0aff:fe4d:0001\n",
	"sys/class/infiniband/rxe0/node_desc":                 "FreeFlow virtual RDMA device\n",
	"sys/class/infiniband/rxe0/fw_ver":                    "0.0.0\n",
	"sys/class/infiniband/rxe0/device/net/eth0/uevent":    "INTERFACE=eth0\n",
	"sys/class/infiniband/rxe0/ports/1/state":             "4: ACTIVE\n",
	"sys/class/infiniband/rxe0/ports/1/phys_state":        "5: LinkUp\n",
	"sys/class/infiniband/rxe0/ports/1/link_layer":        "Ethernet\n",
	"sys/class/infiniband/rxe0/ports/1/rate":              "100 Gb/sec (4X EDR)\n",
	"sys/class/infiniband/rxe0/ports/1/lid":               "0x0\n",
	"sys/class/infiniband/rxe0/ports/1/lid_mask_count":    "0\n",
	"sys/class/infiniband/rxe0/ports/1/sm_lid":            "0x0\n",
	"sys/class/infiniband/rxe0/ports/1/sm_sl":             "0\n",
	"sys/class/infiniband/rxe0/ports/1/cap_mask":          "0x00010000\n",
	"sys/class/infiniband/rxe0/ports/1/pkeys/0":           "0xffff\n",
	"sys/class/infiniband/rxe0/ports/1/gids/0":            "fe80:0000:0000:0000:00ff:0aff:fe4d:0001\n",
	"sys/class/infiniband/rxe0/ports/1/gids/1":            "0000:0000:0000:0000:0000:ffff:0a4d:0001\n",
	"sys/class/infiniband/rxe0/ports/1/gid_attrs/types/0": "RoCE v2\n",
	"sys/class/infiniband/rxe0/ports/1/gid_attrs/types/1": "RoCE v2\n",
	"sys/class/infiniband/rxe0/ports/1/gid_attrs/ndevs/0": "eth0\n",
	"sys/class/infiniband/rxe0/ports/1/gid_attrs/ndevs/1": "eth0\n",
	"sys/class/misc/rdma_cm/abi_version":                  "4\n",
	"sys/class/misc/rdma_cm/dev":                          "10:60\n",
	"dev/infiniband/uverbs0":                              "",
	"dev/infiniband/rdma_cm":                              "",
	"birthday":                                            "",
}

func tree(more ...netip.Addr) Tree {
	ip := netip.MustParseAddr("10.77.0.1")
	return Tree{GIDs: GIDs(ip, more...), NodeGUID: NodeGUID(vnet.MAC(ip))}
}

func TestTreeIsWhatTheKernelWouldShow(t *testing.T) {
	root := t.TempDir()
	if err := WriteTree(root, tree()); err != nil {
		t.Fatal(err)
	}
	wantTree(t, root, golden)
}

func TestTreeFollowsItsGIDsAndKeepsItsBirthday(t *testing.T) {
	root := t.TempDir()
	device := filepath.Join(root, deviceDir)
	if err := WriteTree(root, tree(netip.MustParseAddr("fd00::1"))); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, portDir, "gids/2"))
	if err != nil || string(got) != "fd00:0000:0000:0000:0000:0000:0000:0001\n" {
		t.Errorf("third GID %q, %v", got, err)
	}
	born := time.Unix(1_000_000_000, 0)
	if err := os.Chtimes(filepath.Join(root, birthday), born, born); err != nil {
		t.Fatal(err)
	}
	if err := WriteTree(root, tree()); err != nil {
		t.Fatal(err)
	}
	wantTree(t, root, golden)
	if st, err := os.Stat(device); err != nil || !st.ModTime().Equal(born) {
		t.Errorf("the device is of %v, %v, want %v", st.ModTime(), err, born)
	}
}

func TestTreeIsReadableWhateverTheUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	root := t.TempDir()
	if err := WriteTree(root, tree()); err != nil {
		t.Fatal(err)
	}
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "." || path == birthday {
			return err
		}
		st, err := d.Info()
		if err == nil && st.Mode().Perm()&0o444 != 0o444 {
			t.Errorf("%s has mode %v", path, st.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestTreeFollowsNoLinkOutOfIt(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(root, "sys")); err != nil {
		t.Fatal(err)
	}
	if err := WriteTree(root, tree()); err == nil {
		t.Error("a link that leads out was followed")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("written outside: %v, %v", entries, err)
	}
}

func wantTree(t *testing.T, root string, want map[string]string) {
	t.Helper()
	missing := make(map[string]bool)
	for name := range want {
		missing[name] = true
	}
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(os.DirFS(root), path)
		if wanted, ok := want[path]; !ok || string(content) != wanted {
			t.Errorf("%s is %q, want %q (known: %v)", path, content, wanted, ok)
		}
		delete(missing, path)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if len(missing) > 0 {
		t.Errorf("missing: %v", missing)
	}
}
