package guest

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// wanted are the modules that a guest needs, without those that they name themselves as what they depend on. A module that
// is not there is part of the kernel.
var wanted = []string{
	"virtio_pci", "virtio_net", "virtio_console",
	"sch_netem", "sch_ingress", "cls_matchall", "act_gact", // for tests that want losses
	"crc32_generic", // rxe's checksum: no program loads it when the kernel asks
	"ib_uverbs", "rdma_ucm", "ib_umad", "rdma_rxe",
}

// moduleFiles gives the files of the wanted modules, below the modules' directory, each after what it depends on.
func moduleFiles(dir string) ([]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if name, is := strings.CutSuffix(filepath.Base(path), ".ko"); is && err == nil {
			files[moduleName(name)] = path
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if files["rdma_rxe"] == "" {
		return nil, fmt.Errorf("no rdma_rxe.ko below %s", dir)
	}
	var order []string
	done := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		path := files[name]
		if done[name] || path == "" {
			return nil
		}
		done[name] = true
		needs, err := dependsOn(path)
		for _, n := range needs {
			if err == nil {
				err = add(n)
			}
		}
		order = append(order, path)
		return err
	}
	for _, name := range wanted {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// moduleName is a name as the kernel writes it.
func moduleName(s string) string { return strings.ReplaceAll(s, "-", "_") }

// dependsOn reads what modpost has written into the module.
func dependsOn(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("%s has no .modinfo", path)
	}
	info, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var names []string
	for entry := range strings.SplitSeq(string(info), "\x00") {
		if list, is := strings.CutPrefix(entry, "depends="); is && list != "" {
			for name := range strings.SplitSeq(list, ",") {
				names = append(names, moduleName(name))
			}
		}
	}
	return names, nil
}
