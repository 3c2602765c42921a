package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/pcap"
	"github.com/freeflow-rdma/freeflow/internal/wire"
	"github.com/freeflow-rdma/freeflow/test/host"
)

// captured are programs that together do all that a wire can show, and the opcodes that tshark must find.
var captured = []struct {
	row  row
	want []wire.Opcode
}{
	{row{"ib_send_bw", "-F", "-n", "5", "-s", "10000"}, []wire.Opcode{wire.OpRCSendFirst, wire.OpRCSendMiddle, wire.OpRCSendLast, wire.OpRCAcknowledge}},
	{row{"ib_write_bw", "-F", "-n", "5", "-s", "10000"}, []wire.Opcode{wire.OpRCRDMAWriteFirst, wire.OpRCRDMAWriteMiddle, wire.OpRCRDMAWriteLast}},
	{row{"ib_read_bw", "-F", "-n", "5", "-s", "10000"}, []wire.Opcode{wire.OpRCRDMAReadRequest, wire.OpRCRDMAReadResponseFirst, wire.OpRCRDMAReadResponseLast}},
	{row{"ib_atomic_bw", "-F", "-n", "5"}, []wire.Opcode{wire.OpRCFetchAdd, wire.OpRCAtomicAcknowledge}},
	{row{"ib_send_bw", "-F", "-c", "UC", "-n", "5", "-s", "64"}, []wire.Opcode{wire.OpUCSendOnly}},
	{row{"ib_send_bw", "-F", "-c", "UD", "-n", "5", "-s", "1000"}, []wire.Opcode{wire.OpUDSendOnly}},
}

// TestCapture has tshark read what `freeflow capture` writes while programs run, between two hosts, on both of them, and on one.
func TestCapture(t *testing.T) {
	host.Need(t, "tshark")
	for _, c := range captured {
		host.Need(t, c.row[0])
	}
	t.Run("one host", func(t *testing.T) {
		h := host.Start(t, "auto")
		checkCapture(t, []*host.Host{h}, func(r row) { between(t, h, r) })
	})
	t.Run("two hosts", func(t *testing.T) {
		c := host.StartCluster(t, 2, host.Shape{})
		checkCapture(t, c.Hosts, func(r row) { across(t, c.Hosts[0], c.Hosts[1], r) })
	})
}

// checkCapture captures on each host while run runs all rows.
func checkCapture(t *testing.T, hosts []*host.Host, run func(row)) {
	var all []*capture
	for _, h := range hosts {
		all = append(all, startCapture(t, h))
	}
	for _, c := range captured {
		run(c.row)
	}
	for i, c := range all {
		found := dissect(t, c.stop(t))
		t.Logf("host %d: %v", i+1, found)
		for _, x := range captured {
			for _, op := range x.want {
				if found[op] == 0 {
					t.Errorf("host %d: there is no %s of %s", i+1, op, x.row)
				}
			}
		}
	}
}

// capture is a `freeflow capture` that runs.
type capture struct {
	cmd  *exec.Cmd
	file string
	says *os.File
}

func startCapture(t *testing.T, h *host.Host) *capture {
	t.Helper()
	c := &capture{file: filepath.Join(t.TempDir(), "capture.pcap")}
	c.cmd = h.Command("capture", "-w", c.file)
	says, err := os.Create(c.file + ".log")
	if err != nil {
		t.Fatal(err)
	}
	c.says, c.cmd.Stderr = says, says
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		says.Close()
	})
	host.Eventually(t, "the capture runs", 10*time.Second, func() error {
		if text := c.output(t); !strings.Contains(text, "capturing") {
			return errors.New("it says " + text)
		}
		return nil
	})
	return c
}

func (c *capture) output(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(c.says.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// stop ends the capture and gives its file.
func (c *capture) stop(t *testing.T) string {
	t.Helper()
	c.cmd.Process.Signal(syscall.SIGINT)
	if err := c.cmd.Wait(); err != nil {
		t.Fatalf("freeflow capture: %v\n%s", err, c.output(t))
	}
	if text := c.output(t); !strings.Contains(text, ", 0 lost") {
		t.Errorf("the capture lost packets: %s", text)
	}
	return c.file
}

// dissect has tshark take a capture apart: all of it must be well-formed RoCEv2. It counts packets by opcode.
func dissect(t *testing.T, file string) map[wire.Opcode]int {
	t.Helper()
	cmd := exec.Command("tshark", "-r", file, "-T", "fields", "-e", "frame.protocols", "-e", "infiniband.bth.opcode",
		"-e", "infiniband.invariant.crc", "-e", "_ws.expert.message")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, complaints.String())
	}
	found := make(map[wire.Opcode]int)
	n := 0
	for line := range strings.Lines(string(out)) {
		n++
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		op, err := strconv.ParseUint(fields[1], 0, 8)
		if wire.Opcode(op) == wire.OpFFAck && !strings.Contains(fields[0], "malformed") {
			found[wire.OpFFAck]++ // between routers, after a loss: to tshark a vendor's own opcode, with nothing known behind the BTH
			continue
		}
		if err != nil || !strings.Contains(fields[0], "udp:infiniband") || strings.Contains(fields[0], "malformed") || fields[2] == "" || fields[3] != "" {
			t.Errorf("packet %d is not as RoCEv2 is: %q", n, fields)
			continue
		}
		found[wire.Opcode(op)]++
	}
	return found
}

// TestCaptureAsText prints what one container receives, and no more of it than asked for.
func TestCaptureAsText(t *testing.T) {
	h := host.Start(t, "auto")
	r := row{"ib_write_bw", "-F", "-n", "5", "-s", "10000"}
	host.Need(t, r[0])
	o := host.Options{Name: "probe", IP: h.NewIP()}
	server := h.Start(t, o, r...)
	server.WaitListen(t, port)
	cmd := h.Command("capture", "--container", "probe", "-c", "4")
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	host.Eventually(t, "the capture runs", 10*time.Second, func() error {
		s, err := pcap.NewClient(admin.SocketPath(h.RunDir)).Stats(t.Context())
		if err == nil && !s.Running {
			err = errors.New("nobody captures")
		}
		return err
	})
	h.Run(t, host.Options{}, append(append(row{}, r...), o.IP)...)
	server.Succeed(t)
	timer := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("freeflow capture: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines:\n%s", len(lines), out.String())
	}
	for _, l := range lines {
		if !strings.Contains(l, o.IP) || !strings.Contains(l, "RC ") {
			t.Errorf("line %q", l)
		}
	}
}
