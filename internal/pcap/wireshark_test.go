package pcap

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// TestWiresharkAgrees has tshark take apart a message of each kind. Not SENDs of less than four bytes: it guesses what they hold,
// reads past their end, and calls them malformed, those of Linux' Soft-RoCE too (4.0).
func TestWiresharkAgrees(t *testing.T) {
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Fatal("this test needs tshark: install the Debian package tshark")
	}
	var file bytes.Buffer
	w, err := NewWriter(&file)
	if err != nil {
		t.Fatal(err)
	}
	var want []wire.Header
	for _, m := range samples() {
		if m.Kind == wire.KindSend && m.Length < 4 {
			continue
		}
		for _, frame := range record(t, Filter{}, func(tap *Tap) { tap.Message(&m) }) {
			if err := w.Write(Record{At: time.Now(), Frame: frame, Length: len(frame)}); err != nil {
				t.Fatal(err)
			}
			want = append(want, parse(t, frame).h)
		}
	}
	path := filepath.Join(t.TempDir(), "capture.pcap")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got := dissect(t, path)
	if len(got) != len(want) {
		t.Fatalf("%d packets, want %d", len(got), len(want))
	}
	for i, fields := range got {
		h := want[i]
		if !strings.Contains(fields[0], "udp:infiniband") || strings.Contains(fields[0], "malformed") {
			t.Errorf("packet %d (%s) is %s", i, h.Opcode, fields[0])
		}
		if fields[1] != fmt.Sprint(uint8(h.Opcode)) || fields[2] != fmt.Sprint(uint32(h.PSN)) || fields[3] == "" {
			t.Errorf("packet %d: opcode %s, PSN %s, ICRC %q; want %d (%s), %d", i, fields[1], fields[2], fields[3], h.Opcode, h.Opcode, h.PSN)
		}
		if fields[4] != "" {
			t.Errorf("packet %d (%s): %s", i, h.Opcode, fields[4])
		}
	}
}

func dissect(t *testing.T, path string) (all [][]string) {
	t.Helper()
	cmd := exec.Command("tshark", "-r", path, "-o", "ip.check_checksum:TRUE", "-T", "fields",
		"-e", "frame.protocols", "-e", "infiniband.bth.opcode", "-e", "infiniband.bth.psn", "-e", "infiniband.invariant.crc", "-e", "_ws.expert.message")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, complaints.String())
	}
	for line := range strings.Lines(string(out)) {
		all = append(all, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return all
}
