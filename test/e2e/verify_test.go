package e2e

import (
	"fmt"
	"testing"

	"github.com/freeflow-rdma/freeflow/test/host"
)

// meeting is where our own programs meet (check.h).
const meeting = 18600

// TestData looks at every byte of every kind of message, between two containers and within one.
func TestData(t *testing.T) {
	h := host.Start(t, "auto")
	verify := host.Program(t, "verify")
	for service, least := range map[string]int{"rc": 18, "uc": 13, "ud": 7} {
		t.Run(service+" two containers", func(t *testing.T) {
			o := host.Options{IP: h.NewIP()}
			server := h.Start(t, o, verify, service)
			server.WaitListen(t, meeting)
			client := h.Start(t, host.Options{}, verify, service, o.IP)
			t.Run("client", func(t *testing.T) { cases(t, client, least) })
			t.Run("server", func(t *testing.T) { cases(t, server, least) })
		})
		t.Run(service+" one container", func(t *testing.T) {
			script := fmt.Sprintf(`%s %s & %s %s 127.0.0.1; client=$?; wait $!; [ $client$? = 00 ]`, verify, service, verify, service)
			cases(t, h.Start(t, host.Options{}, "sh", "-c", script), 2*least)
		})
	}
	h.RouterAlive(t)
}

// TestDataModes does the same in the other modes, RC only.
func TestDataModes(t *testing.T) {
	for _, mode := range []string{"fast", "low"} {
		t.Run(mode, func(t *testing.T) {
			h := host.Start(t, mode)
			verify := host.Program(t, "verify")
			o := host.Options{IP: h.NewIP()}
			server := h.Start(t, o, verify, "rc")
			server.WaitListen(t, meeting)
			cases(t, h.Start(t, host.Options{}, verify, "rc", o.IP), 18)
			server.Succeed(t)
		})
	}
}
