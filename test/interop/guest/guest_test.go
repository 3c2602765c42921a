package guest

import (
	"strings"
	"testing"
	"time"
)

// A guest boots, has its rxe device, and runs scripts; it knows how they ended.
func TestGuest(t *testing.T) {
	start := time.Now()
	Build(t)
	t.Logf("image: %.1f s", time.Since(start).Seconds())
	n := NewNet(t, 1500)
	start = time.Now()
	g := Start(t, n, "192.168.77.2/24")
	t.Logf("ready: %.1f s", time.Since(start).Seconds())
	out := g.Run(t, "ibv_devinfo -v; ip address show eth0")
	for _, want := range []string{"::ffff:192.168.77.2, RoCE v2", "active_mtu:\t\t1024", "state UP"} {
		if !strings.Contains(out, want) {
			t.Errorf("the device does not say %q:\n%s", want, out)
		}
	}
	statuses(t, g)
	g.Put(t, "/tmp/say", []byte("#!/bin/sh\necho said $1\n"))
	if out := g.Run(t, "/tmp/say it"); out != "said it\n" {
		t.Errorf("the program that was put there said %q", out)
	}
	g.Start(t, "sleep 0.1; nc -l -p 4000").WaitListen(t, 4000)
}

func statuses(t *testing.T, g *Guest) {
	for script, want := range map[string]int{"exit 7": 7, "kill -9 $$": 137, "no-such-program": 127} {
		if got := g.Start(t, script).Wait(t); got != want {
			t.Errorf("%s: exit status %d, want %d", script, got, want)
		}
	}
	p := g.Start(t, "sleep 1000 & wait")
	p.Kill()
	if code := p.Wait(t); code != 137 {
		t.Errorf("exit status %d of what was killed, want 137", code)
	}
	if out := g.Run(t, "ps | grep -c '[s]leep 1000' || true"); out != "0\n" {
		t.Errorf("%s processes outlive the script that was killed", out)
	}
}

// What a guest is on says in its own words what is wrong.
func TestBootFailsWithoutBridge(t *testing.T) {
	n := NewNet(t, 1500)
	n.Bridge = "other"
	if _, err := boot(&Image{}, n, []string{"192.168.77.2/24"}); err == nil || !strings.Contains(err.Error(), "bridge other") {
		t.Errorf("boot on a bridge that is not there: %v", err)
	}
}
