package router

import (
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

func TestAccessText(t *testing.T) {
	for access, want := range map[verbs.Access]string{
		0:                        "local-read",
		verbs.AccessLocalWrite:   "local-write",
		0x3f:                     "local-write,remote-write,remote-read,remote-atomic,mw-bind,zero-based",
		1 << 20:                  "local-read",
		verbs.AccessRemoteRead:   "remote-read",
		verbs.AccessMWBind | 0x4: "remote-read,mw-bind",
	} {
		if got := AccessText(access); got != want {
			t.Errorf("%#x: %s, want %s", uint32(access), got, want)
		}
	}
}
