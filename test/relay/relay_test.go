package relay

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// two makes the namespaces of two hosts, joined by the wire:
//
//	192.0.2.1 ── relay ── 192.0.2.2
func two(t testing.TB, c Config) (*Relay, *vnet.Namespace, *vnet.Namespace) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces: run it as root")
	}
	var hosts [2]*vnet.Namespace
	for i := range hosts {
		var err error
		if hosts[i], err = vnet.NewNamespace(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { hosts[i].Close() })
	}
	r := Start(t, c,
		Link{NS: hosts[0], Addr: netip.MustParsePrefix("192.0.2.1/24"), MTU: 9000},
		Link{NS: hosts[1], Addr: netip.MustParsePrefix("192.0.2.2/24"), MTU: 9000})
	return r, hosts[0], hosts[1]
}

func listen(t testing.TB, ns *vnet.Namespace) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	err := ns.Do(func() (err error) {
		conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4zero, Port: 4791})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadBuffer(8 << 20)
	return conn
}

// send sends n datagrams one by one from a to b and returns how many came, each waited for as long as needed.
func send(t *testing.T, r *Relay, a, b *net.UDPConn, n int) int {
	t.Helper()
	before, _ := r.Counts()
	to := &net.UDPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 4791}
	for range n {
		if _, err := a.WriteTo(make([]byte, 100), to); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Microsecond)
	}
	var c Counts
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if c, _ = r.Counts(); c.Lost-before.Lost+c.Passed-before.Passed >= uint64(n) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("of %d datagrams the wire saw: %+v", n, c)
		}
	}
	came := 0
	for b.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); ; came++ {
		if _, _, err := b.ReadFrom(make([]byte, 1000)); err != nil {
			return came
		}
	}
}

func TestWire(t *testing.T) {
	r, ha, hb := two(t, Config{Only: UDP(4791)})
	a, b := listen(t, ha), listen(t, hb)
	if came := send(t, r, a, b, 1000); came != 1000 {
		t.Errorf("%d of 1000 came over a good wire", came)
	}
	r.Set(Config{Loss: 0.5, Only: UDP(4791)})
	before, _ := r.Counts()
	came := send(t, r, a, b, 1000)
	after, _ := r.Counts()
	if lost := int(after.Lost - before.Lost); came != 1000-lost || lost < 400 || lost > 600 {
		t.Errorf("%d came, %d were lost of 1000", came, lost)
	}
	r.Set(Config{Reorder: 1, Only: UDP(4791)}) // nobody overtakes: all are held until patience ends
	if came := send(t, r, a, b, 10); came != 10 {
		t.Errorf("%d of 10 came that were held back", came)
	}
}

// TestTCPSurvives: segments larger than the link are cut before they reach the wire, checksums are done.
func TestTCPSurvives(t *testing.T) {
	if _, err := exec.LookPath("iperf3"); err != nil {
		t.Fatal("this test needs iperf3: install the Debian package iperf3")
	}
	_, ha, hb := two(t, Config{Loss: 0.001, Reorder: 0.001, Duplicate: 0.001, Seed: 1})
	server := exec.Command("iperf3", "-s", "-1")
	if err := hb.Do(server.Start); err != nil {
		t.Fatal(err)
	}
	defer server.Wait()
	defer server.Process.Kill()
	var out []byte
	var err error
	for range 100 { // until the server listens
		ha.Do(func() error {
			out, err = exec.Command("iperf3", "-c", "192.0.2.2", "-n", "100M").CombinedOutput()
			return err
		})
		if err == nil {
			t.Log("\n" + string(out))
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%v\n%s", err, out)
}

// BenchmarkWire is how fast datagrams pass.
func BenchmarkWire(b *testing.B) {
	r, ha, hb := two(b, Config{})
	from, _ := listen(b, ha), listen(b, hb)
	to := &net.UDPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 4791}
	payload := make([]byte, 4096)
	b.SetBytes(int64(len(payload)))
	for i := 0; b.Loop(); i++ {
		from.WriteTo(payload, to)
		for i%64 == 0 { // not more on the way than the queue has room for
			if c, _ := r.Counts(); c.Passed+1024 > uint64(i) {
				break
			}
			time.Sleep(10 * time.Microsecond)
		}
	}
}
