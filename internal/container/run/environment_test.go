package run

import (
	"slices"
	"strings"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/container/image"
)

func TestEnvironment(t *testing.T) {
	info := admin.ContainerInfo{RunDir: "/run/ff", Root: "/run/ff/containers/x/root", Library: "/run/ff/lib/libfreeflow.so", Env: map[string]string{"EXTRA": "1"}}
	libraries := image.Libraries{Sockets: "/usr/lib/rsocket/librspreload.so"}
	const ours, both = "/run/ff/lib/libfreeflow.so", "/run/ff/lib/libfreeflow.so:/usr/lib/rsocket/librspreload.so"
	for _, c := range []struct {
		sockets         bool
		before, preload string
	}{
		{false, "", ours},
		{false, "/usr/lib/libjemalloc.so", ours + ":/usr/lib/libjemalloc.so"},
		{false, "/a.so /run/outer/lib/libfreeflow.so:/b.so", ours + ":/a.so:/b.so"},
		{false, "/opt/librspreload.so", ours + ":/opt/librspreload.so"}, // the user's own
		{true, "", both},
		{true, "/a.so", both + ":/a.so"},
		{true, "/opt/librspreload.so:/a.so:libfreeflow.so", both + ":/a.so"},
	} {
		own := []string{"HOME=/root", "FREEFLOW_ROOT=/outer", "LD_PRELOAD=" + c.before, "EMPTY="}
		o := Options{Sockets: c.sockets}
		got := environment(own, info, o.preload(info, libraries))
		want := []string{"HOME=/root", "EMPTY=", "EXTRA=1", "FREEFLOW_ROOT=" + info.Root, "FREEFLOW_RUN_DIR=/run/ff", "LD_PRELOAD=" + c.preload}
		if !slices.Equal(got, want) {
			t.Errorf("with %q, sockets %v: %q, want %q", c.before, c.sockets, got, want)
		}
	}
}

func TestSocketsNeedTheirLibrary(t *testing.T) {
	for _, o := range []Options{{}, {Sockets: true}} {
		err := o.checkSockets(image.Libraries{})
		if o.Sockets != (err != nil) || err != nil && !strings.Contains(err.Error(), "librdmacm1") {
			t.Errorf("sockets %v: %v", o.Sockets, err)
		}
		if err := o.checkSockets(image.Libraries{Sockets: "/x"}); err != nil {
			t.Error(err)
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
