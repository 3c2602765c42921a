package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
)

const twoNetworks = `
apiVersion: freeflow/v1
kind: Network
metadata: {name: red}
spec: {cidr: 10.99.0.0/24}
---
apiVersion: freeflow/v1
kind: Network
metadata: {name: blue}
spec: {cidr: 10.99.0.0/24}
`

// in says where a container is.
type in struct {
	host        *host.Host
	network, ip string
}

// start waits until whoever had the address before, and may have been killed, has given it up.
func (p in) start(t *testing.T, args ...string) *host.Running {
	t.Helper()
	p.host.Wait("address "+p.ip+" is free", 10*time.Second, func() error {
		rows, err := p.host.Client().Containers(t.Context())
		for _, r := range rows {
			if r.Network == p.network && r.IP.String() == p.ip {
				err = fmt.Errorf("container %s on %s has it", r.Name, r.Host)
			}
		}
		return err
	})
	return p.host.Start(t, host.Options{Network: p.network, IP: p.ip}, args...)
}

// attack has one container do to another what somebody could who knows all of its numbers, keys and addresses.
func attack(t *testing.T, from, to in, outcome string) {
	t.Helper()
	stranger, dir := host.Program(t, "stranger"), t.TempDir()
	victim := to.start(t, stranger, "suffer", dir, "x")
	attacker := from.start(t, stranger, "attack", dir, "x", outcome)
	if code := attacker.Wait(t); code != 0 {
		t.Errorf("the attacker was not %s: %s", outcome, attacker.Output())
	}
	out := victim.Succeed(t)
	touched := !strings.Contains(out, "received 0, datagrams 0, first changed byte 65536 of 65536")
	if touched != (outcome == "ok") {
		t.Errorf("the victim, attacked by one who is to be %s: %s", outcome, out)
	}
}

// TestNetworksNeverMeet gives containers of two networks the same addresses, on the same host and on different ones.
func TestNetworksNeverMeet(t *testing.T) {
	defer took(t)()
	c := host.StartCluster(t, 2, host.Shape{})
	file := filepath.Join(t.TempDir(), "networks.yaml")
	if err := os.WriteFile(file, []byte(twoNetworks), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Log(c.Freeflow("apply", "-f", file))
	one, two := c.Hosts[0], c.Hosts[1]

	t.Run("within a network they meet", func(t *testing.T) {
		attack(t, in{one, "red", "10.99.0.2"}, in{two, "red", "10.99.0.1"}, "ok")
		attack(t, in{one, "blue", "10.99.0.2"}, in{one, "blue", "10.99.0.1"}, "ok")
	})
	t.Run("across hosts", func(t *testing.T) {
		attack(t, in{one, "red", "10.99.0.2"}, in{two, "blue", "10.99.0.1"}, "refused")
	})
	t.Run("on one host", func(t *testing.T) {
		attack(t, in{one, "red", "10.99.0.2"}, in{one, "blue", "10.99.0.1"}, "refused")
	})
	t.Run("with the attacker's own address", func(t *testing.T) {
		attack(t, in{one, "red", "10.99.0.1"}, in{one, "blue", "10.99.0.1"}, "refused")
		attack(t, in{one, "red", "10.99.0.1"}, in{two, "blue", "10.99.0.1"}, "refused")
	})
	stranger := host.Program(t, "stranger")
	t.Run("while somebody of the attacker's network has the address", func(t *testing.T) {
		for _, where := range c.Hosts {
			red := in{where, "red", "10.99.0.1"}.start(t, stranger, "say", "red")
			red.WaitListen(t, meeting)
			for _, h := range c.Hosts {
				attack(t, in{one, "red", "10.99.0.2"}, in{h, "blue", "10.99.0.1"}, "refused")
			}
			red.Kill()
			red.Wait(t)
		}
	})
	t.Run("over TCP", func(t *testing.T) {
		hear := func(from *host.Host, network, want string) {
			t.Helper()
			if got := strings.TrimSpace(in{from, network, "10.99.0.9"}.start(t, stranger, "hear", "10.99.0.1").Succeed(t)); got != "heard "+want {
				t.Errorf("from %s in network %s: %s, want %s", from.Name, network, got, want)
			}
		}
		blue := in{one, "blue", "10.99.0.1"}.start(t, stranger, "say", "blue")
		blue.WaitListen(t, meeting)
		for _, h := range c.Hosts {
			hear(h, "red", "nobody")
			hear(h, "blue", "blue")
		}
		red := in{two, "red", "10.99.0.1"}.start(t, stranger, "say", "red")
		red.WaitListen(t, meeting)
		for _, h := range c.Hosts {
			hear(h, "red", "red")
			hear(h, "blue", "blue")
		}
		blue.Kill()
		red.Kill()
	})
	wantLife(t, c)
}
