package top

import (
	"flag"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/admin"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// snapshot is a small cluster after some seconds: a sends to b, c does nothing, d is on another host.
func snapshot(seconds int) Snapshot {
	n := uint64(seconds)
	ip := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	return Snapshot{
		At: noon.Add(time.Duration(seconds) * time.Second), Host: "one",
		Hosts: []admin.HostRow{{Name: "two", IP: ip("192.0.2.2"), State: "ready", Containers: 1}, {Name: "one", IP: ip("192.0.2.1"), State: "ready", Containers: 3}},
		Containers: []admin.ContainerRow{
			{Name: "c", Network: "default", IP: ip("10.77.0.3")}, {Name: "b", Network: "default", IP: ip("10.77.0.2")},
			{Name: "a-container-with-a-long-name", Network: "a-long-network", IP: ip("10.77.0.1")},
		},
		QPs: []admin.QPRow{
			{Container: "c", PID: 9, QPN: 19, Type: "UD", State: "INIT"},
			{Container: "b", PID: 8, QPN: 18, Type: "RC", State: "RTS", DestIP: ip("10.77.0.1"), DestQPN: 17, Fabric: "local", RxBytes: n * 1250e6, RxMsgs: n * 19073},
			{Container: "a-container-with-a-long-name", PID: 7, QPN: 17, Type: "RC", State: "RTS", DestIP: ip("10.77.0.2"), DestQPN: 18, Fabric: "local",
				TxBytes: n * 1250e6, TxMsgs: n * 19073},
			{Container: "b", PID: 8, QPN: 0x123456, Type: "RC", State: "RTS", DestIP: ip("10.77.0.4"), DestQPN: 21, Fabric: "geneve",
				TxBytes: n * 100, RxBytes: 1 << 40, TxMsgs: n},
		},
	}
}

func TestLines(t *testing.T) {
	var m Model
	first := m.Update(snapshot(1))
	second := m.Update(snapshot(3))
	for name, got := range map[string]string{
		"first":  Plain(first.Lines(Size{})),
		"all":    Plain(second.Lines(Size{})),
		"small":  Plain(second.Lines(Size{Width: 60, Height: 16})),
		"screen": strings.ReplaceAll(Screen(second.Lines(Size{Width: 80, Height: 24})), "\x1b", "^["),
	} {
		path := filepath.Join("testdata", name+".txt")
		if *rewrite {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

func TestLinesFit(t *testing.T) {
	var m Model
	s := snapshot(1)
	for i := range 100 {
		s.QPs = append(s.QPs, admin.QPRow{Container: fmt.Sprint("x", i), QPN: uint32(i)})
		s.Hosts = append(s.Hosts, admin.HostRow{Name: fmt.Sprint("h", i)})
	}
	v := m.Update(s)
	for height := 1; height < 60; height++ {
		for _, width := range []int{1, 20, 200} {
			lines := v.Lines(Size{width, height})
			if len(lines) > height || height > 20 && len(lines) < height-6 {
				t.Errorf("%d lines for a height of %d", len(lines), height)
			}
			for _, l := range lines {
				if len(l.Text) > width {
					t.Errorf("%q is wider than %d", l.Text, width)
				}
			}
		}
	}
}

func TestRatesOfWhatComesAndGoes(t *testing.T) {
	at := func(s int, qps ...admin.QPRow) Snapshot {
		return Snapshot{At: noon.Add(time.Duration(s) * time.Second), QPs: qps}
	}
	row := func(qpn uint32, pid int, tx uint64) admin.QPRow {
		return admin.QPRow{Container: "a", QPN: qpn, PID: pid, TxBytes: tx}
	}
	var m Model
	for i, step := range []struct {
		s    Snapshot
		want float64 // of the container
	}{
		{at(0, row(1, 7, 1000)), 0},
		{at(2, row(1, 7, 3000), row(2, 7, 500)), 1250}, // a second one, made since
		{at(3, row(2, 7, 600)), 100},                   // the first has ended
		{at(3, row(2, 7, 700)), 0},                     // no time has passed
		{at(4, row(2, 7, 50)), 50},                     // destroyed, and the number given out again
		{at(5, row(2, 8, 70)), 70},                     // to another process
		{at(6), 0},
	} {
		v := m.Update(step.s)
		got := 0.0
		for _, c := range v.Containers {
			got += c.TxBytes
		}
		if math.Abs(got-step.want) > 1e-9 || got != v.Total.TxBytes {
			t.Errorf("step %d: %v bytes a second, total %v, want %v", i, got, v.Total.TxBytes, step.want)
		}
	}
}

func TestSI(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0", 999: "999", 999.6: "1.00k", 1234: "1.23k", 9996: "10.0k", 99960: "100k", 999600: "1.00M", 12.3e9: "12.3G", 1e21: "1000E",
	} {
		if got := si(x); got != want {
			t.Errorf("%v: %s, want %s", x, got, want)
		}
	}
}

func TestNamesCannotWriteOnTheTerminal(t *testing.T) {
	var m Model
	s := snapshot(1)
	s.QPs[0].Container, s.Containers[0].Name = "\x1b[2J\n", "\x1b[2J\n"
	if text := Plain(m.Update(s).Lines(Size{})); strings.Contains(text, "\x1b") || strings.Count(text, "?[2J?") != 2 {
		t.Errorf("%q", text)
	}
}
