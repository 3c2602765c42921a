package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// noOutside forbids the containers' network everybody on the underlay.
const noOutside = `apiVersion: freeflow/v1
kind: AccessPolicy
metadata: {name: inside}
spec:
  rules:
    - {action: deny, to: {cidr: ` + underlay + `}}
`

// denied: what talks to the guest ends with an error when a policy forbids it, nothing passes either way while it does, and it works again after.
func denied(t *testing.T, top topology) {
	file := filepath.Join(t.TempDir(), "inside.yaml")
	if err := os.WriteFile(file, []byte(noOutside), 0o600); err != nil {
		t.Fatal(err)
	}
	const limit = 2 * time.Minute
	both := func(server, client place, command string) (s, c process) {
		s = server.begin(t, command, limit)
		s.WaitListen(t, port)
		return s, client.begin(t, command+" "+server.ip(), limit)
	}
	end := func(p process) {
		p.Kill()
		p.Wait(t)
	}
	const flow = "ib_write_bw -x $GID -F -D 60"
	s, c := both(top.peer, top.container, flow)
	top.host.Wait("the container sends", 30*time.Second, func() error { return sending(t, top) })
	top.host.Freeflow(t, "apply", "-f", file)
	forbidden := time.Now()
	if code := c.Wait(t); code == 0 || time.Since(forbidden) > 30*time.Second {
		t.Errorf("a flow that was forbidden: exit status %d after %s\n%s", code, time.Since(forbidden), c.Output())
	}
	end(s)
	const short = "ib_send_lat -x $GID -F -n 20"
	s, c = both(top.peer, top.container, short)
	if code := c.Wait(t); code == 0 {
		t.Errorf("a client in the container, where it is forbidden:\n%s", c.Output())
	}
	end(s)
	before := refusals(t, top)
	s, c = both(top.container, top.peer, short) // the guest's kernel tries for ever
	top.host.Wait("the guest's packets are refused", 30*time.Second, func() error { return refused(t, top, before) })
	end(c)
	end(s)
	top.host.Freeflow(t, "delete", "accesspolicy", "inside")
	between(t, top.peer, top.container, row{short, port, limit})
}

// refused says whether packets for a queue pair of the host were refused, and none was taken.
func refused(t *testing.T, top topology, before int) error {
	list, err := top.host.Client().QPs(t.Context())
	if err != nil {
		return err
	}
	for _, qp := range list {
		if qp.RxBytes > 0 || qp.TxBytes > 0 {
			t.Fatalf("something passes where it is forbidden: %+v", qp)
		}
	}
	if now := refusals(t, top); now <= before {
		return fmt.Errorf("queue pairs %+v, %d refusals", list, now)
	}
	return nil
}

var lastColumn = regexp.MustCompile(`(?m)^c-.* (\d+)$`)

// refusals sums, in the table of usage, what containers were refused.
func refusals(t *testing.T, top topology) (sum int) {
	for _, m := range lastColumn.FindAllStringSubmatch(top.host.Freeflow(t, "get", "usage"), -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// sending says whether a queue pair of the host has sent something to a peer that is no router.
func sending(t *testing.T, top topology) error {
	list, err := top.host.Client().QPs(t.Context())
	if err != nil {
		return err
	}
	for _, qp := range list {
		if qp.TxBytes > 0 && qp.Fabric == "plain" {
			return nil
		}
	}
	return fmt.Errorf("queue pairs %+v", list)
}
