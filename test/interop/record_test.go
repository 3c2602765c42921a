package interop

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/test/host"
	"github.com/freeflow-rdma/freeflow/test/interop/guest"
)

// recording is what two guests run while it is recorded. $GID is the index of a guest's GID of fd77::/64.
type recording struct {
	name           string // of its files in testdata
	server, client string
}

// both is a program that takes the same options on both sides.
func both(name, command string) recording {
	return recording{name, command, command + " 192.168.77.2"}
}

var recordings = []recording{
	both("ipv6_rc_send", "ibv_rc_pingpong -m 1024 -g $GID -c -n 2 -s 1025 -e"),
	both("ipv6_uc_send", "ibv_uc_pingpong -m 1024 -g $GID -c -n 2 -s 1025 -e"),
	both("ipv6_ud_send", "ibv_ud_pingpong -g $GID -c -n 2 -s 63 -e"),
	both("ipv6_rc_write", "ib_write_bw -c RC -s 4099 -n 5 -x $GID -F"),
	both("ipv6_rc_read", "ib_read_bw -c RC -s 4099 -n 5 -x $GID -F"),
	both("ipv6_rc_atomic", "ib_atomic_bw -A CMP_AND_SWAP -n 5 -x $GID -F"),
	{"ipv6_cm_rping", "rping -s -v -V -C 2 -S 100 -a fd77::2", "rping -c -v -V -C 2 -S 100 -a fd77::2"},
	{"ipv6_cm_udaddy", "udaddy -C 2 -c 1 -S 100 -b fd77::2", "udaddy -C 2 -c 1 -S 100 -s fd77::2 -t 42"},
}

// TestRecord makes testdata anew, with FF_INTEROP_RECORD=1 and tcpdump.
func TestRecord(t *testing.T) {
	if os.Getenv("FF_INTEROP_RECORD") == "" {
		host.Skip(t, "testdata is there: FF_INTEROP_RECORD=1 makes it anew")
	}
	n, a, b := twoGuests(t, 1500)
	a.Run(t, "ping -6 -c 1 fd77::3")
	for _, r := range recordings {
		t.Run(r.name, func(t *testing.T) {
			frames, said := record(t, n, a, b, r)
			header := fmt.Sprintf("guests: a fd77::2, b fd77::3; MTU 1500, kernel %s rdma_rxe; captured on the bridge between them\nserver (a): %s\nclient (b): %s\n",
				strings.TrimSpace(a.Run(t, "uname -r")), r.server, r.client)
			write(t, r.name+".pcap", frames)
			write(t, r.name+".txt", []byte(header+said))
		})
	}
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join("testdata", name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// record gives the capture and, as text, what the programs said and the packets.
func record(t *testing.T, n guest.Net, a, b *guest.Guest, r recording) (frames []byte, said string) {
	t.Helper()
	pcap := filepath.Join(t.TempDir(), "pcap")
	dump, messages := n.Begin(t, "tcpdump", "-i", n.Bridge, "--immediate-mode", "-Z", "root", "-U", "-w", pcap, "ip6 and udp port 4791")
	defer dump.Process.Kill()
	host.Eventually(t, "tcpdump listens", 20*time.Second, func() error { _, err := os.Stat(pcap); return err })
	server := a.Start(t, findGID(netip.MustParseAddr("fd77::2"))+r.server)
	time.Sleep(2 * time.Second) // an RDMA-CM listener cannot be seen
	client := b.Start(t, findGID(netip.MustParseAddr("fd77::3"))+r.client)
	said = fmt.Sprintf("--- client\n%s--- server\n%s", client.Succeed(t), server.Succeed(t))
	time.Sleep(time.Second) // what comes after a CM disconnect
	dump.Process.Signal(unix.SIGTERM)
	if err := dump.Wait(); err != nil {
		t.Fatalf("tcpdump: %v\n%s", err, messages)
	}
	frames, err := os.ReadFile(pcap)
	if err != nil {
		t.Fatal(err)
	}
	_, packets, _ := strings.Cut(n.Exec(t, "tcpdump", "-nn", "-ttttt", "-v", "-r", pcap), "\n") // the first line names the file
	return frames, said + "--- packets\n" + packets
}
