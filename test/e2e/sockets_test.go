package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
	"github.com/freeflow-rdma/freeflow/test/rows"
)

// sockets are programs whose sockets are RDMA connections: the server's port, and what both sides run; the client gets the server's address as $1.
var sockets = []struct {
	name, server, client string
	port                 int
	stays                bool
	says                 string // what the client says
}{
	{"iperf", "exec iperf -s", "exec iperf -c $1 -t 1 -l 128K", 5001, true, "bits/sec"},
	{"iperf, four streams", "exec iperf -s", "exec iperf -c $1 -t 1 -P 4", 5001, true, "[SUM]"},
	{"iperf, both directions", "exec iperf -s", "exec iperf -c $1 -t 1 -d", 5001, true, "bits/sec"},
	{"NPtcp", "exec NPtcp -l 1 -u 131072 -n 50 -o /dev/null", "exec NPtcp -h $1 -l 1 -u 131072 -n 50 -o /dev/null", 5002, false, ""},
	{"NPtcp, every byte looked at", "exec NPtcp -i -l 1 -u 131072 -n 20 -o /dev/null", "exec NPtcp -h $1 -i -l 1 -u 131072 -n 20 -o /dev/null", 5002, false, "ntegrity check"},
	{"Python, every byte looked at", "exec python3 -c '" + pythonServer + "'", "exec python3 -c '" + pythonClient + "' $1", 5005, false, "16777216 bytes are right"},
}

// pythonServer sends back what it gets, and pythonClient compares.
const (
	pythonServer = `
import socket
l = socket.socket(); l.bind(("0.0.0.0", 5005)); l.listen(1)
c, _ = l.accept()
while True:
    d = c.recv(65536)
    if not d: break
    c.sendall(d)
c.close()`
	pythonClient = `
import socket, sys, random, threading
s = socket.create_connection((sys.argv[1], 5005))
data = random.Random(7).randbytes(16 << 20)
t = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR))); t.start()
got = bytearray()
while len(got) < len(data):
    d = s.recv(1 << 20)
    if not d: break
    got += d
t.join()
assert bytes(got) == data, (len(got), len(data))
print(len(got), "bytes are right")`
)

// TestSockets runs programs with `freeflow run --sockets` on one host and on two. That RDMA carried the bytes is seen by the identifiers of
// RDMA-CM: a listener, and connections while they last.
func TestSockets(t *testing.T) {
	host.Need(t, "iperf", "NPtcp", "python3")
	if found, _ := filepath.Glob("/usr/lib/*/rsocket/librspreload.so"); len(found) == 0 {
		t.Fatal("librspreload.so is missing: apt-get install librdmacm1")
	}
	t.Run("one host", func(t *testing.T) {
		h := host.Start(t, "auto")
		everySocket(t, h, h, h.NewIP)
	})
	t.Run("two hosts", func(t *testing.T) {
		c := host.StartCluster(t, 2, host.Shape{})
		everySocket(t, c.Hosts[0], c.Hosts[1], c.NewIP)
	})
}

func everySocket(t *testing.T, server, client *host.Host, next func() string) {
	t.Run("all", func(t *testing.T) {
		for _, x := range sockets {
			t.Run(x.name, func(t *testing.T) {
				t.Parallel()
				defer slow(t, time.Now())
				o := host.Options{IP: next(), Sockets: true, Time: 2 * time.Minute}
				o.Name = "rs-" + strings.ReplaceAll(o.IP, ".", "-")
				s := server.Start(t, o, "sh", "-c", x.server)
				host.Eventually(t, "the server listens", 30*time.Second, func() error {
					return rows.Listening(rows.Of(o.Name, server.Freeflow(t, "get", "cm-ids")), x.port)
				})
				c := client.Start(t, host.Options{IP: next(), Sockets: true, Time: o.Time}, "sh", "-c", x.client, "sh", o.IP)
				code := c.Wait(t)
				if x.stays {
					s.Kill()
				} else if code == 0 {
					code = s.Wait(t)
				}
				if code != 0 || !strings.Contains(c.Output(), x.says) {
					t.Errorf("exit status %d\nclient:\n%s\nserver:\n%s", code, c.Output(), s.Output())
				}
			})
		}
	})
	for _, h := range []*host.Host{server, client} {
		h.RouterAlive(t)
		h.Wait("nothing is left", 15*time.Second, h.Left)
	}
}

// TestSocketsCarryByRDMA looks for the connection while bytes flow, and for its end.
func TestSocketsCarryByRDMA(t *testing.T) {
	host.Need(t, "iperf")
	h := host.Start(t, "auto")
	o := host.Options{IP: h.NewIP(), Name: "rs-server", Sockets: true, Time: time.Minute}
	h.Start(t, o, "iperf", "-s")
	table := func() string { return h.Freeflow(t, "get", "cm-ids") }
	h.Wait("the server listens", 30*time.Second, func() error { return rows.Listening(table(), 5001) })
	c := h.Start(t, host.Options{Name: "rs-client", Sockets: true}, "iperf", "-c", o.IP, "-t", "3")
	h.Wait("a connection is there", 20*time.Second, func() error {
		if of := rows.Of("rs-client", table()); !strings.Contains(of, o.IP+":5001") {
			return fmt.Errorf("identifiers:\n%s", table())
		}
		return nil
	})
	c.Succeed(t)
	h.Wait("the connection is gone", 20*time.Second, func() error {
		if of := rows.Of("rs-client", table()); of != "" {
			return errors.New(of)
		}
		return nil
	})
}

// TestSocketsAndTCP has sides with and without --sockets meet: TCP is what is left where one cannot do RDMA.
func TestSocketsAndTCP(t *testing.T) {
	host.Need(t, "iperf")
	h := host.Start(t, "auto")
	o := host.Options{IP: h.NewIP(), Time: time.Minute}
	s := h.Start(t, o, "iperf", "-s")
	s.WaitListen(t, 5001)
	out := h.Run(t, host.Options{Sockets: true}, "iperf", "-c", o.IP, "-t", "1")
	if !strings.Contains(out, "bits/sec") {
		t.Errorf("a client with --sockets of a server without:\n%s", out)
	}
	// Programs that have no sockets are as ever.
	if out := h.Run(t, host.Options{Sockets: true}, "sh", "-c", "echo $((6*7)); ls /dev/infiniband | sort | tail -1"); !strings.Contains(out, "42\nuverbs0") {
		t.Errorf("a shell with --sockets says %q", out)
	}
	if _, err := os.Stat("/usr/bin/ibv_rc_pingpong"); err == nil {
		between(t, h, row{"ibv_rc_pingpong", "-g", "1", "-n", "100", "-c"})
	}
}
