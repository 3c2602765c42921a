package hostile

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
)

func TestMain(m *testing.M) { host.Main(m) }

const meeting = 18600 // check.h

func seconds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("FF_HOSTILE_SECONDS")
	if text == "" {
		return 3
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("FF_HOSTILE_SECONDS=%q: want a number", text)
	}
	return n
}

var moved = regexp.MustCompile(`moved (\d+) messages, ([0-9.]+) MB/s, wrong (\d+)`)

// healthy is a pair of programs that send each other messages and look at every byte.
type healthy struct{ client, server *host.Running }

func startHealthy(t *testing.T, h *host.Host, lasts int, options ...string) healthy {
	t.Helper()
	args := append([]string{host.Program(t, "traffic"), "-d", fmt.Sprint(lasts), "-q", "2", "-s", "16384"}, options...)
	o := host.Options{IP: h.NewIP(), Time: time.Duration(lasts+60) * time.Second}
	server := h.Start(t, o, args...)
	server.WaitListen(t, meeting)
	return healthy{server: server, client: h.Start(t, host.Options{Time: o.Time}, append(args, o.IP)...)}
}

// rate checks that the pair ended well, and gives what it moved in MB/s, both ways.
func (p healthy) rate(t *testing.T) (sum float64) {
	t.Helper()
	for who, r := range map[string]*host.Running{"client": p.client, "server": p.server} {
		m := moved.FindStringSubmatch(r.Succeed(t))
		if m == nil {
			t.Fatalf("%s says: %s", who, r.Output())
		}
		if m[1] == "0" || m[3] != "0" {
			t.Errorf("%s: %s messages arrived, %s of them wrong", who, m[1], m[3])
		}
		rate, _ := strconv.ParseFloat(m[2], 64)
		sum += rate
	}
	return sum
}

// attack runs an attack beside a healthy pair.
func attack(t *testing.T, mode string, options []string, attacks ...string) {
	h := host.Start(t, mode)
	n := seconds(t)
	alone := startHealthy(t, h, min(n, 5), options...).rate(t)
	fair := besideSpinners(t, h, min(n, 5), len(attacks), options...)
	before := host.UsageOf(t, h.RouterPID())
	pair := startHealthy(t, h, n, options...)
	pair.server.WaitFor(t, "running")
	program := host.Program(t, "hostile")
	var running []*host.Running
	for _, a := range attacks {
		running = append(running, h.Start(t, host.Options{Time: time.Duration(n+30) * time.Second}, program, a, fmt.Sprint(n)))
	}
	rate := pair.rate(t)
	h.RouterAlive(t)
	for _, r := range running {
		if code := r.Wait(t); code != 0 {
			t.Errorf("attack: exit status %d\n%s", code, r.Output())
		}
		for line := range strings.Lines(r.Output()) {
			if strings.HasPrefix(line, "not ok") {
				t.Error(line)
			}
		}
	}
	h.RouterAlive(t)
	again := startHealthy(t, h, 1, options...).rate(t)
	h.Wait("nothing is left", 20*time.Second, h.Left)
	t.Logf("healthy pair: alone %.0f MB/s, beside as many programs that only spin %.0f MB/s, under attack %.0f MB/s (%.2f of that), afterwards %.0f MB/s",
		alone, fair, rate, rate/fair, again)
	t.Logf("router: before %v, after %v", before, host.UsageOf(t, h.RouterPID()))
	after := host.UsageOf(t, h.RouterPID())
	if after.Files > before.Files+20 || after.Threads > before.Threads+30 {
		t.Errorf("the router keeps what it had for the attacker: before %v, after %v", before, after)
	}
}

// besideSpinners gives what the pair moves beside programs that use a core and nothing else: its fair share of the machine.
func besideSpinners(t *testing.T, h *host.Host, n, spinners int, options ...string) float64 {
	t.Helper()
	pair := startHealthy(t, h, n, options...)
	pair.server.WaitFor(t, "running")
	var running []*host.Running
	for range spinners {
		running = append(running, h.Start(t, host.Options{}, "timeout", fmt.Sprint(n), "sh", "-c", "while :; do :; done"))
	}
	rate := pair.rate(t)
	for _, r := range running {
		if code := r.Wait(t); code != 124 { // timeout's own
			t.Errorf("spinner: exit status %d\n%s", code, r.Output())
		}
	}
	return rate
}

func TestScribble(t *testing.T) { attack(t, "auto", nil, "scribble") }

func TestScribbleBesideWaiters(t *testing.T) { attack(t, "auto", []string{"-e"}, "scribble") }

func TestCommands(t *testing.T) { attack(t, "auto", nil, "commands") }

func TestRing(t *testing.T) { attack(t, "auto", []string{"-e"}, "ring") }

func TestAllAtOnce(t *testing.T) { attack(t, "auto", nil, "scribble", "commands", "ring") }

func TestOtherModes(t *testing.T) {
	for _, mode := range []string{"fast", "low"} {
		t.Run(mode, func(t *testing.T) { attack(t, mode, []string{"-e"}, "scribble", "ring") })
	}
}

// TestForeignMemory has one container try every way to another's memory.
func TestForeignMemory(t *testing.T) {
	h := host.Start(t, "auto")
	o := host.Options{IP: h.NewIP(), Time: 3 * time.Minute}
	victim := h.Start(t, o, host.Program(t, "victim"))
	victim.WaitFor(t, "memory")
	address := strings.TrimSuffix(strings.Fields(victim.Output())[1], ",")
	scan := h.Start(t, host.Options{Env: []string{"VICTIM_IP=" + o.IP}, Time: 2 * time.Minute}, host.Program(t, "hostile"), "scan", address)
	code := scan.Wait(t)
	n := 0
	for line := range strings.Lines(scan.Output()) {
		if rest, ok := strings.CutPrefix(line, "not ok "); ok {
			t.Error(rest)
		}
		n++
	}
	if n < 5 || code != 0 {
		t.Errorf("exit status %d\n%s", code, scan.Output())
	}
	victim.Signal(syscall.SIGUSR1)
	if out := victim.Succeed(t); !strings.Contains(out, "ok untouched") {
		t.Error(out)
	}
	h.RouterAlive(t)
}
