package run

import (
	"slices"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/admin"
)

func TestEnvironment(t *testing.T) {
	info := admin.ContainerInfo{RunDir: "/run/ff", Root: "/run/ff/containers/x/root", Library: "/run/ff/lib/libfreeflow.so", Env: map[string]string{"EXTRA": "1"}}
	for _, c := range []struct{ before, preload string }{
		{"", "/run/ff/lib/libfreeflow.so"},
		{"/usr/lib/libjemalloc.so", "/run/ff/lib/libfreeflow.so:/usr/lib/libjemalloc.so"},
		{"/a.so /run/outer/lib/libfreeflow.so:/b.so", "/run/ff/lib/libfreeflow.so:/a.so:/b.so"},
	} {
		own := []string{"HOME=/root", "FREEFLOW_ROOT=/outer", "LD_PRELOAD=" + c.before, "EMPTY="}
		got := environment(own, info)
		want := []string{"HOME=/root", "EMPTY=", "EXTRA=1", "FREEFLOW_ROOT=" + info.Root, "FREEFLOW_RUN_DIR=/run/ff", "LD_PRELOAD=" + c.preload}
		if !slices.Equal(got, want) {
			t.Errorf("with %q: %q, want %q", c.before, got, want)
		}
	}
}

func TestAbridged(t *testing.T) {
	long := make([]string, 1000)
	for i := range long {
		long[i] = "argument"
	}
	if got := abridged(long); len(got) != maxShown/8+1 || got[len(got)-1] != "…" {
		t.Errorf("%d arguments, the last %q", len(got), got[len(got)-1])
	}
	if got := abridged([]string{"a", "b"}); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("abridged to %q", got)
	}
}
