package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
)

// churnTime is how long connections are opened, used and closed for: FF_CHURN, a few seconds if it is not set.
func churnTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("FF_CHURN")
	if text == "" {
		return 5 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("FF_CHURN: %v", err)
	}
	return d
}

// TestCMChurn opens, uses and closes connections for a while, 32 at a time, kills programs in the midst of it, and looks whether anything stays.
func TestCMChurn(t *testing.T) {
	length := churnTime(t)
	h := host.Start(t, "auto")
	churn := host.Program(t, "cmchurn")
	o := host.Options{IP: h.NewIP(), Time: length + 3*time.Minute}
	server := h.Start(t, o, churn, "serve", o.IP)
	h.Wait("the server listens", 10*time.Second, func() error { return listens(h, 1) })
	round := func(d time.Duration) string {
		return h.Run(t, host.Options{Time: d + time.Minute}, churn, "churn", o.IP, fmt.Sprint(d.Seconds()), "32")
	}
	round(time.Second) // the router gets as big as it gets
	before, program := host.UsageOf(t, h.RouterPID()), host.UsageOf(t, server.PID(t))
	t.Log(strings.TrimSpace(round(length)))
	for range 3 {
		victim := h.Start(t, host.Options{}, churn, "churn", o.IP, "60", "32")
		time.Sleep(500 * time.Millisecond)
		victim.KillProgram(t)
	}
	h.Wait("only the listener is left", 20*time.Second, func() error { return listens(h, 1) })
	returns(t, h, before)
	if now := host.UsageOf(t, server.PID(t)); now.Files > program.Files || now.RSS > program.RSS+16<<10 {
		t.Errorf("the server: before %v, after %v", program, now)
	}
	server.Kill()
	h.RouterAlive(t)
	h.Wait("nothing is left", 15*time.Second, h.Left)
}

// listens says whether there are so many identifiers of RDMA-CM on a host, and that no other queue pair is there.
func listens(h *host.Host, ids int) error {
	out, err := h.Command("get", "cm-ids").Output()
	if err != nil {
		return err
	}
	if n := len(column(string(out))); n != ids {
		return fmt.Errorf("%d identifiers, expected %d:\n%s", n, ids, out)
	}
	out, err = h.Command("get", "qps").Output()
	if n := len(column(string(out))); err == nil && n > 0 {
		err = fmt.Errorf("%d queue pairs", n)
	}
	return err
}

// TestCMThousands holds ten thousand connections of two programs open at once.
func TestCMThousands(t *testing.T) {
	const many = 10_000
	h := host.Start(t, "auto")
	churn := host.Program(t, "cmchurn")
	o := host.Options{IP: h.NewIP(), Time: 4 * time.Minute}
	h.Start(t, o, churn, "serve", o.IP)
	h.Wait("the server listens", 10*time.Second, func() error { return listens(h, 1) })
	client := h.Start(t, host.Options{Time: o.Time}, "sh", "-c", fmt.Sprintf("sleep 100000 | %s hold %s %d", churn, o.IP, many))
	client.WaitFor(t, "open after")
	t.Log(strings.TrimSpace(client.Output()))
	out, err := h.Command("get", "cm-ids").Output()
	if n := len(column(string(out))); err != nil || n != 2*many+1 {
		t.Errorf("%d identifiers, %v; expected %d", n, err, 2*many+1)
	}
	u := host.UsageOf(t, h.RouterPID())
	t.Logf("the router: %v", u)
	client.Kill()
	h.Wait("only the listener is left", time.Minute, func() error { return listens(h, 1) })
	h.RouterAlive(t)
}
