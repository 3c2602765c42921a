package run

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/freeflow-rdma/freeflow/internal/admin"
)

// environment is the program's: ours, with what the libraries need that are preloaded, in their order (FreeFlow's first). Another
// container's library, left from running inside of one, is taken out of LD_PRELOAD; the user's own entries stay, after ours.
func environment(own []string, info admin.ContainerInfo, libraries []string) []string {
	set := map[string]string{
		"FREEFLOW_RUN_DIR": info.RunDir,
		"FREEFLOW_ROOT":    info.Root,
	}
	maps.Copy(set, info.Env)
	preload := slices.Clone(libraries)
	var env []string
	for _, variable := range own {
		name, value, _ := strings.Cut(variable, "=")
		if name == "LD_PRELOAD" {
			preload = append(preload, otherLibraries(value, libraries)...)
			continue
		}
		if _, replaced := set[name]; !replaced {
			env = append(env, variable)
		}
	}
	set["LD_PRELOAD"] = strings.Join(preload, ":")
	for _, name := range slices.Sorted(maps.Keys(set)) {
		env = append(env, name+"="+set[name])
	}
	return env
}

// otherLibraries splits LD_PRELOAD as the loader does and leaves out what goes by one of the libraries' names.
func otherLibraries(preload string, libraries []string) []string {
	entries := strings.FieldsFunc(preload, func(r rune) bool { return r == ':' || r == ' ' })
	return slices.DeleteFunc(entries, func(entry string) bool {
		return slices.ContainsFunc(libraries, func(library string) bool { return path.Base(entry) == path.Base(library) })
	})
}
