package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/pcap"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// tapRouter serves a run directory: a container c of 10.77.0.2, and a tap that sees n datagrams to it and n to another
// while somebody listens.
func tapRouter(t *testing.T, n int) (runDir string) {
	t.Helper()
	runDir = t.TempDir()
	l, err := net.Listen("unix", admin.SocketPath(runDir))
	if err != nil {
		t.Fatal(err)
	}
	var tap pcap.Tap
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/containers", func(w http.ResponseWriter, _ *http.Request) {
		rows := []admin.ContainerRow{{Name: "c", IP: netip.MustParseAddr("10.77.0.2")}}
		json.NewEncoder(w).Encode(map[string]any{"items": rows})
	})
	mux.HandleFunc("GET /v1/capture", func(w http.ResponseWriter, r *http.Request) {
		if !r.URL.Query().Has("stats") {
			go traffic(&tap, n)
		}
		pcap.Serve(w, r, &tap)
	})
	server := &http.Server{Handler: mux}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return runDir
}

func traffic(tap *pcap.Tap, n int) {
	for !tap.Active() {
	}
	for i := range 2 * n {
		dst := netip.AddrFrom4([4]byte{10, 77, 0, byte(2 + i%2)})
		tap.Message(&pcap.Message{
			Service: wire.ServiceUD, Kind: wire.KindSend, Src: netip.MustParseAddr("10.77.0.1"), Dst: dst,
			SrcQP: 17, DestQP: 18, PSN: wire.PSN(i), MTU: 1024,
		})
	}
}

func runCapture(args ...string) (out, complaints string, err error) {
	var o, c bytes.Buffer
	cmd := captureCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetOut(&o)
	cmd.SetErr(&c)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(context.Background())
	return o.String(), c.String(), err
}

func TestCapturePrintsLines(t *testing.T) {
	out, complaints, err := runCapture("--run-dir", tapRouter(t, 10), "--container", "c", "-c", "10")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 10 || !strings.Contains(lines[0], "10.77.0.1 > 10.77.0.2 UD SEND Only qp 0x000012 psn 0 from 0x000011") {
		t.Errorf("%s", out)
	}
	if !strings.Contains(complaints, "10 packets captured, 0 lost") {
		t.Errorf("%s", complaints)
	}
}

func TestCaptureWritesFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, file := range []string{path, "-"} {
		out, complaints, err := runCapture("--run-dir", tapRouter(t, 10), "--qp", "0x11", "-w", file, "-c", "20")
		if err != nil {
			t.Fatal(err)
		}
		if file == path {
			b, err := os.ReadFile(path)
			if err != nil || out != "" {
				t.Fatal(err, out)
			}
			out = string(b)
		}
		r, err := pcap.NewReader(strings.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for ; ; n++ {
			if _, err := r.Next(); err != nil {
				break
			}
		}
		if n != 20 || !strings.Contains(complaints, "20 packets captured") {
			t.Errorf("%d packets; %s", n, complaints)
		}
	}
}

func TestCaptureRefusals(t *testing.T) {
	dir := tapRouter(t, 0)
	for want, args := range map[string][]string{
		"no container d":        {"--run-dir", dir, "--container", "d"},
		"number of a queue":     {"--run-dir", dir, "--qp", "x"},
		"no router is running":  {"--run-dir", t.TempDir()},
		"no such file or direc": {"--run-dir", dir, "-w", "/nowhere/f"},
	} {
		if _, _, err := runCapture(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", args, err)
		}
	}
}
