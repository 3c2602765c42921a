package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
)

// hears is how long the end of a peer may take to be heard: the programs' retry time is half a second, the rest is for a busy
// machine.
const hears = 15 * time.Second

// variants are ways of waiting and of sending: who is released when something dies differs by them.
var variants = map[string][]string{
	"pollers":           nil,
	"event waiters":     {"-e"},
	"poller one way":    {"-o"},
	"waiter one way":    {"-e", "-o"},
	"many queue pairs":  {"-q", "16"},
	"big messages":      {"-s", "4194304", "-o"},
	"many event waiter": {"-e", "-q", "16"},
}

// pair starts two programs that send each other messages and waits until they do.
func pair(t *testing.T, h *host.Host, options []string) (client, server *host.Running) {
	t.Helper()
	traffic := host.Program(t, "traffic")
	o := host.Options{IP: h.NewIP()}
	server = h.Start(t, o, append([]string{traffic}, options...)...)
	server.WaitListen(t, meeting)
	client = h.Start(t, host.Options{}, append(append([]string{traffic}, options...), o.IP)...)
	server.WaitFor(t, "running")
	return client, server
}

// wantErrors checks that a program was told: everything that it had posted has completed, with such a status somewhere.
func wantErrors(t *testing.T, who string, r *host.Running, statuses ...string) {
	t.Helper()
	if code := r.Within(hears).Wait(t); code != 3 {
		t.Errorf("%s: exit status %d\n%s", who, code, r.Output())
		return
	}
	for _, s := range statuses {
		if strings.Contains(r.Output(), s) {
			return
		}
	}
	t.Errorf("%s: none of %q in\n%s", who, statuses, r.Output())
}

const (
	retries = "transport retry counter exceeded"
	flushed = "Work Request Flushed Error"
)

func TestKilledPeer(t *testing.T) {
	h := host.Start(t, "auto")
	for name, options := range variants {
		t.Run(name+", client", func(t *testing.T) {
			client, server := pair(t, h, options)
			client.KillProgram(t)
			wantErrors(t, "server", server, retries, flushed)
		})
		t.Run(name+", server", func(t *testing.T) {
			client, server := pair(t, h, options)
			server.KillProgram(t)
			wantErrors(t, "client", client, retries)
		})
	}
	t.Run("the container", func(t *testing.T) {
		client, server := pair(t, h, nil)
		server.Kill() // freeflow run itself
		wantErrors(t, "client", client, retries)
	})
	t.Run("RDMA writes", func(t *testing.T) {
		client, server := pair(t, h, []string{"-w"})
		server.KillProgram(t)
		wantErrors(t, "client", client, retries)
	})
	h.RouterAlive(t)
	h.Wait("nothing is left", 15*time.Second, h.Left)
}

// TestKilledDebianPeer kills one of two programs of perftest or libibverbs that send, poll or wait for events; the other one must end.
func TestKilledDebianPeer(t *testing.T) {
	h := host.Start(t, "auto")
	for _, r := range []row{
		{"ib_send_bw", "-F", "-n", "100000000"},
		{"ib_send_bw", "-F", "-n", "100000000", "-e"},
		{"ib_write_bw", "-F", "-n", "100000000"},
		{"ib_read_bw", "-F", "-n", "100000000"},
		{"ibv_rc_pingpong", "-g", "1", "-n", "100000000"},
		{"ibv_rc_pingpong", "-g", "1", "-n", "100000000", "-e"},
	} {
		host.Need(t, r[0])
		t.Run(r.String(), func(t *testing.T) {
			o := host.Options{IP: h.NewIP()}
			server := h.Start(t, o, r...)
			server.WaitListen(t, port)
			client := h.Start(t, host.Options{}, append(append(row{}, r...), o.IP)...)
			time.Sleep(time.Second)
			server.KillProgram(t)
			if code := client.Within(hears).Wait(t); code == 0 {
				t.Errorf("the client ended well\n%s", client.Output())
			}
		})
	}
	h.RouterAlive(t)
}

func TestKilledRouter(t *testing.T) {
	h := host.Start(t, "auto")
	for name, options := range variants {
		t.Run(name, func(t *testing.T) {
			client, server := pair(t, h, options)
			h.KillRouter()
			wantErrors(t, "client", client, flushed, retries)
			wantErrors(t, "server", server, flushed, retries)
			h.StartRouter()
			between(t, h, row{"ibv_rc_pingpong", "-g", "1", "-n", "100", "-c"})
		})
	}
	h.Wait("nothing is left", host.GivenUp, h.Left)
}

func TestStoppedRouter(t *testing.T) {
	h := host.Start(t, "auto")
	for name, options := range variants {
		t.Run(name, func(t *testing.T) {
			client, server := pair(t, h, options)
			h.StopRouter(t)
			wantErrors(t, "client", client, flushed, retries)
			wantErrors(t, "server", server, flushed, retries)
			h.StartRouter()
		})
	}
}

// TestLivingContainers restarts the router under containers that live on: the next programs in them work.
func TestLivingContainers(t *testing.T) {
	h := host.Start(t, "auto")
	traffic, verify := host.Program(t, "traffic"), host.Program(t, "verify")
	flag := filepath.Join(t.TempDir(), "again")
	script := fmt.Sprintf(`%s $1; echo "first: $?"; until [ -e %s ]; do sleep 0.02; done; exec %s rc $1`, traffic, flag, verify)
	o := host.Options{IP: h.NewIP()}
	server := h.Start(t, o, "sh", "-c", script, "sh", "")
	server.WaitListen(t, meeting)
	client := h.Start(t, host.Options{}, "sh", "-c", script, "sh", o.IP)
	server.WaitFor(t, "running")
	h.KillRouter()
	client.WaitFor(t, "first: 3")
	server.WaitFor(t, "first: 3")
	h.StartRouter()
	h.Wait("the containers are back", 10*time.Second, func() error {
		rows, err := h.Client().Containers(t.Context())
		if err == nil && len(rows) != 2 {
			err = fmt.Errorf("%d containers", len(rows))
		}
		return err
	})
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	client.Succeed(t)
	server.Succeed(t)
	h.Wait("nothing is left", 15*time.Second, h.Left)
}

// TestDeviceFatal has a program wait for the asynchronous event that the router's end is.
func TestDeviceFatal(t *testing.T) {
	h := host.Start(t, "auto")
	fatal := host.Program(t, "fatal")
	stopped := h.Start(t, host.Options{}, fatal)
	stopped.WaitFor(t, "waiting")
	h.StopRouter(t)
	stopped.Within(hears).Succeed(t)
	h.StartRouter()
	killed := h.Start(t, host.Options{}, fatal, "killed")
	killed.WaitFor(t, "waiting")
	h.KillRouter()
	killed.Within(hears).Succeed(t)
}
