package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
)

// port is where perftest and the pingpongs of libibverbs meet.
const port = 18515

// row is a program as both sides run it; the client gets the server's address besides.
type row []string

func (r row) String() string { return strings.Join(r, " ") }

// limit is when it hangs: a program that goes through all sizes and polls takes ten seconds on an idle machine, and takes turns with
// others on a busy one.
func (r row) limit() time.Duration {
	if slices.Contains(r, "-a") {
		return 4 * time.Minute
	}
	return time.Minute
}

// pingpongs are libibverbs' examples, polling and waiting for events, with the payload check.
func pingpongs() (rows []row) {
	for _, program := range []string{"ibv_rc_pingpong", "ibv_uc_pingpong", "ibv_ud_pingpong", "ibv_srq_pingpong"} {
		for _, options := range [][]string{{}, {"-e"}} {
			r := row{program, "-g", "1", "-n", "10000", "-c"}
			switch program {
			case "ibv_ud_pingpong":
				r = append(r, "-s", "2048")
			case "ibv_srq_pingpong":
				r[4] = "1000" // for each of its 16 queue pairs
			}
			rows = append(rows, append(r, options...))
		}
	}
	return rows
}

// perftests are perftest's programs with every service type that each has, and every option that the tool takes. Few
// iterations: what matters here is that all of it works.
func perftests() (rows []row) {
	add := func(program, connection string, options ...string) {
		rows = append(rows, append(row{program, "-F", "-c", connection}, options...))
	}
	for _, connection := range []string{"RC", "UC", "UD"} {
		few := []string{"-n", "200"}
		for _, program := range []string{"ib_send_bw", "ib_write_bw", "ib_read_bw"} {
			if connection == "UC" && program == "ib_read_bw" || connection == "UD" && program != "ib_send_bw" {
				continue
			}
			add(program, connection, "-a", "-n", "50")
			add(program, connection, append(few, "-q", "16", "-s", "2048")...)
			add(program, connection, append(few, "-b", "-s", "4096")...)
			if program != "ib_write_bw" {
				add(program, connection, append(few, "-e", "-s", "4096")...)
			}
			if program != "ib_read_bw" {
				add(program, connection, append(few, "-I", "64", "-s", "64")...)
				add(program, connection, append(few, "-l", "8", "-s", "64")...)
			}
		}
		for _, program := range []string{"ib_send_lat", "ib_write_lat", "ib_read_lat"} {
			if connection == "UC" && program == "ib_read_lat" || connection == "UD" && program != "ib_send_lat" {
				continue
			}
			add(program, connection, "-a", "-n", "50")
			if program != "ib_write_lat" {
				add(program, connection, append(few, "-e", "-s", "64")...)
			}
			if program != "ib_read_lat" {
				add(program, connection, append(few, "-I", "188", "-s", "188")...)
				add(program, connection, append(few, "-I", "0", "-s", "64")...)
			}
		}
	}
	for _, connection := range []string{"RC", "UC", "UD"} {
		add("ib_send_bw", connection, "--use-srq", "-n", "200", "-s", "2048")
		add("ib_send_bw", connection, "--use-srq", "-n", "200", "-s", "2048", "-q", "16", "-e")
		add("ib_send_lat", connection, "--use-srq", "-n", "200", "-s", "64")
	}
	for _, kind := range []string{"CMP_AND_SWAP", "FETCH_AND_ADD"} {
		add("ib_atomic_bw", "RC", "-A", kind, "-n", "200")
		add("ib_atomic_lat", "RC", "-A", kind, "-n", "200")
	}
	add("ib_atomic_bw", "RC", "-n", "200", "-q", "16")
	add("ib_atomic_bw", "RC", "-n", "200", "-b")
	add("ib_atomic_bw", "RC", "-n", "200", "-e")
	add("ib_atomic_lat", "RC", "-n", "200", "-e")
	return rows
}

// between runs a row with its server and its client in a container each.
func between(t *testing.T, h *host.Host, r row) {
	t.Helper()
	o := host.Options{IP: h.NewIP(), Time: r.limit()}
	server := h.Start(t, o, r...)
	server.WaitListen(t, port)
	client := h.Start(t, host.Options{Time: o.Time}, append(slices.Clone(r), o.IP)...)
	if code := client.Wait(t); code != 0 {
		t.Fatalf("client: exit status %d\n%s\nserver:\n%s", code, client.Output(), server.Output())
	}
	server.Succeed(t)
}

// within runs a row with its server and its client in one container. The shell waits until somebody listens, and
// fails if either fails.
func within(t *testing.T, h *host.Host, r row) {
	t.Helper()
	script := fmt.Sprintf(`"$@" & server=$!
n=0; until grep -q ':%04X [0-9A-F:]* 0A ' /proc/self/net/tcp /proc/self/net/tcp6; do
	n=$((n+1)); [ $n -lt 1000 ] || { echo nobody listens; exit 1; }; sleep 0.01; done
"$@" "$(hostname -I | tr ' ' '\n' | grep -m1 '^10\.')"; client=$?
wait $server; server=$?
echo "server: $server, client: $client"; [ $server$client = 00 ]`, port)
	h.Run(t, host.Options{Time: r.limit()}, append([]string{"sh", "-c", script, "sh"}, r...)...)
}

// slow says at once which test took long.
func slow(t *testing.T, start time.Time) {
	if took := time.Since(start); took > 5*time.Second {
		fmt.Printf("slow: %s: %.1f s\n", t.Name(), took.Seconds())
	}
}

// everyWay runs rows between two containers and within one, in parallel as far as -parallel goes.
func everyWay(t *testing.T, h *host.Host, rows []row) {
	for _, r := range rows {
		host.Need(t, r[0])
	}
	t.Run("all", func(t *testing.T) {
		for _, r := range rows {
			t.Run(r.String(), func(t *testing.T) {
				t.Parallel()
				t.Run("two containers", func(t *testing.T) { defer slow(t, time.Now()); between(t, h, r) })
				if testing.Short() && slices.Contains(r, "-a") {
					host.Skip(t, "in one container: -short leaves out what takes long")
				}
				t.Run("one container", func(t *testing.T) { defer slow(t, time.Now()); within(t, h, r) })
			})
		}
	})
	h.RouterAlive(t)
	h.Wait("nothing is left", 10*time.Second, h.Left)
}

func TestDevinfo(t *testing.T) {
	host.Need(t, "ibv_devinfo")
	h := host.Start(t, "auto")
	out := h.Run(t, host.Options{IP: "10.77.5.6"}, "ibv_devinfo", "-v")
	for _, want := range []string{"hca_id:\trxe0", "PORT_ACTIVE (4)", "link_layer:\t\tEthernet", "max_srq:", "ATOMIC_HCA (1)",
		"::ffff:10.77.5.6, RoCE v2", "MEM_WINDOW", "active_mtu:\t\t4096"} {
		if !strings.Contains(out, want) {
			t.Errorf("ibv_devinfo -v does not say %q:\n%s", want, out)
		}
	}
}

func TestPingpongs(t *testing.T) { everyWay(t, host.Start(t, "auto"), pingpongs()) }

func TestPerftest(t *testing.T) { everyWay(t, host.Start(t, "auto"), perftests()) }

// TestModes runs a few programs in the engine's other modes: as the host's, and as the container's own.
func TestModes(t *testing.T) {
	// Few iterations: programs that poll take turns with the worker here, a time slice each, where there are fewer cores than
	// threads that spin.
	rows := []row{
		{"ibv_rc_pingpong", "-g", "1", "-n", "100", "-c"},
		{"ibv_rc_pingpong", "-g", "1", "-n", "2000", "-c", "-e"},
		{"ibv_ud_pingpong", "-g", "1", "-n", "100", "-c"},
		{"ib_send_bw", "-F", "-n", "100"},
		{"ib_send_bw", "-F", "-n", "100", "-s", "1048576"},
		{"ib_write_bw", "-F", "-q", "16", "-n", "100", "-s", "4096"},
		{"ib_read_lat", "-F", "-n", "200"},
		{"ib_atomic_bw", "-F", "-n", "200"},
	}
	for _, mode := range []string{"fast", "low"} {
		t.Run(mode, func(t *testing.T) { everyWay(t, host.Start(t, mode), rows) })
	}
	t.Run("mixed", func(t *testing.T) {
		h := host.Start(t, "auto")
		modes := []string{"auto", "fast", "low"}
		for _, of := range modes {
			for _, to := range modes {
				t.Run(of+" to "+to, func(t *testing.T) {
					r := row{"ibv_rc_pingpong", "-g", "1", "-n", "1000", "-c", "-e"}
					o := host.Options{IP: h.NewIP(), Mode: to}
					server := h.Start(t, o, r...)
					server.WaitListen(t, port)
					h.Run(t, host.Options{Mode: of}, append(slices.Clone(r), o.IP)...)
					server.Succeed(t)
				})
			}
		}
	})
}
