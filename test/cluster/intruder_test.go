package cluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/wire"
	"github.com/freeflow-rdma/freeflow/test/host"
)

// victim is a connected pair of test/programs/stranger: one that looks after its memory on host 1, and its peer on host 2, which waits before it
// sends. The intruder knows everything of them.
type victim struct {
	c              *host.Cluster
	dir            string
	suffer, attack *host.Running
	rc, ud         queuePair // whose memory it is
	peer           queuePair // RC, on host 2
	right          packet    // as the peer would send it: a WRITE into the memory where nobody should
}

func startVictim(t *testing.T, c *host.Cluster) *victim {
	t.Helper()
	stranger, ip, peerIP := host.Program(t, "stranger"), c.NewIP(), c.NewIP()
	v := &victim{c: c, dir: t.TempDir()}
	v.suffer = c.Hosts[0].Start(t, host.Options{IP: ip}, stranger, "suffer", v.dir, "x")
	v.attack = c.Hosts[1].Start(t, host.Options{IP: peerIP}, stranger, "attack", v.dir, "x", "later")
	v.suffer.WaitFor(t, "ready")
	of := func(what string) (rc, ud queuePair) {
		b, err := os.ReadFile(filepath.Join(v.dir, "x."+what))
		if err != nil || len(b) != 2*addressSize {
			t.Fatalf("%v, %d bytes", err, len(b))
		}
		return queuePairIn(b), queuePairIn(b[addressSize:])
	}
	v.rc, v.ud = of("suffer")
	v.peer, _ = of("attack")
	networks, err := c.Hosts[0].Client().Networks(t.Context())
	if err != nil || len(networks) != 1 {
		t.Fatalf("%v, %v", networks, err)
	}
	v.right = packet{outerSrc: c.Hosts[1].IP, outerDst: c.Hosts[0].IP, vni: networks[0].VNI, src: netip.MustParseAddr(peerIP), dst: netip.MustParseAddr(ip),
		payload: []byte(strings.Repeat("intruder", 8))}
	v.right.Header = wire.Header{Opcode: wire.OpRCRDMAWriteOnly, PKey: 0xffff, DestQP: v.rc.qpn, PSN: wire.PSN(v.peer.psn), AckReq: true,
		VA: v.rc.memory + 8192, RKey: v.rc.rkey, Length: 64}
	return v
}

// file makes one of the files that the programs wait for.
func (v *victim) file(t *testing.T, what string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(v.dir, "x.suffer")) // what it says is read again, and has to be as it was
	if err == nil {
		err = os.WriteFile(filepath.Join(v.dir, "x.part2"), b, 0o600)
	}
	if err == nil {
		err = os.Rename(filepath.Join(v.dir, "x.part2"), filepath.Join(v.dir, "x."+what))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// count is a counter's value at host 1, of all groups.
func (v *victim) count(t *testing.T, name string) (n uint64) {
	t.Helper()
	rows, err := v.c.Hosts[0].Client().Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Name == name {
			n += r.Value
		}
	}
	return n
}

// TestForgedPackets sends a host packets in which one thing is not as it should be, and all else is: each is dropped and counted. The queue pair
// works afterwards, and no byte of its memory has changed.
func TestForgedPackets(t *testing.T) {
	defer took(t)()
	c := host.StartCluster(t, 3, host.Shape{})
	v := startVictim(t, c)
	bystander := c.NewIP()
	for i, ip := range []string{bystander, c.NewIP()} {
		c.Hosts[i+1].Start(t, host.Options{IP: ip}, "sleep", "1000")
		host.Eventually(t, "host 1 knows the bystander", 5*time.Second, func() error {
			return rowWith(c.Hosts[0].Freeflow(t, "get", "containers"), ip)
		})
	}
	for _, x := range []struct {
		what, counter string
		forge         func(*packet)
	}{
		{"from nobody", "drop_unknown_host", func(p *packet) { p.outerSrc = netip.MustParseAddr("192.168.77.99") }},
		{"from another host", "drop_forged", func(p *packet) { p.outerSrc = c.Hosts[2].IP }},
		{"of another network", "drop_unknown_vni", func(p *packet) { p.vni++ }},
		{"of no network", "drop_unknown_vni", func(p *packet) { p.vni = 0 }},
		{"from no container", "drop_forged", func(p *packet) { p.src = netip.MustParseAddr("10.77.250.1") }},
		{"from another container of the peer's host", "drop_forged", func(p *packet) { p.src = netip.MustParseAddr(bystander) }},
		{"to another container", "drop_wrong_address", func(p *packet) { p.dst = netip.MustParseAddr("10.77.250.2") }},
		{"to another queue pair", "drop_unknown_qp", func(p *packet) { p.DestQP ^= 0x40000 }},
		{"with a wrong ICRC", "drop_icrc", func(p *packet) { p.broken = true }},
		{"cut off", "drop_malformed", func(p *packet) { p.short = true }},
		{"of another service", "drop_opcode", func(p *packet) { p.Opcode, p.QKey = wire.OpUDSendOnly, 1 }},
		{"with a guessed PSN and key", "drop_psn", func(p *packet) { p.PSN = p.PSN.Add(1 << 20); p.RKey ^= 0x5500 }},
		{"with a wrong QKey", "drop_qkey", func(p *packet) {
			p.Header = wire.Header{Opcode: wire.OpUDSendOnly, PKey: 0xffff, DestQP: v.ud.qpn, QKey: 0x22222222, SrcQP: v.peer.qpn}
		}},
	} {
		t.Run(x.what, func(t *testing.T) {
			p, before := v.right, v.count(t, x.counter)
			x.forge(&p)
			const many = 10
			for range many {
				inject(t, c.Under.NS, p.bytes())
			}
			host.Eventually(t, x.counter, 5*time.Second, func() error {
				if got := v.count(t, x.counter) - before; got != many {
					return fmt.Errorf("%s counts %d of %d", x.counter, got, many)
				}
				return nil
			})
		})
	}
	t.Run("garbage", func(t *testing.T) { v.garbage(t) })
	v.file(t, "go")
	v.attack.Succeed(t)
	t.Log(v.suffer.Succeed(t))
	for _, h := range c.Hosts {
		h.RouterAlive(t)
	}
}

// garbage sends packets with random bytes behind each of the headers.
func (v *victim) garbage(t *testing.T) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	var all [][]byte
	for i := range 3000 {
		p := v.right
		p.PSN = p.PSN.Add(1<<20 + i)
		b := p.bytes()
		for j := []int{outer, outer + 8, outer + 28, outer + 36}[i%4] + random.IntN(8); j < len(b); j += 1 + random.IntN(8) {
			b[j] = byte(random.Uint32())
		}
		all = append(all, b[:outer+random.IntN(len(b)-outer)])
	}
	for _, b := range all {
		wire.IPv4(b).SetLength(uint16(len(b)), 0)
		wire.UDP(b[wire.IPv4Size:]).SetLength(uint16(len(b) - wire.IPv4Size))
	}
	inject(t, v.c.Under.NS, all...)
}

// TestForgingWorks sends the packet in which nothing is wrong, from the place of the others, to show that it is what was forged that got them
// dropped: an underlay on which anybody can send what he likes is not protected against (docs/threat-model.md).
func TestForgingWorks(t *testing.T) {
	c := host.StartCluster(t, 2, host.Shape{})
	v := startVictim(t, c)
	inject(t, c.Under.NS, v.right.bytes())
	time.Sleep(300 * time.Millisecond)
	v.file(t, "done")
	if code := v.suffer.Wait(t); code == 0 || !strings.Contains(v.suffer.Output(), "first changed byte 8192 of") {
		t.Errorf("the right packet was not taken: %s", v.suffer.Output())
	}

	v = startVictim(t, c)
	p := v.right
	p.RKey ^= 0x5500
	inject(t, c.Under.NS, p.bytes())
	time.Sleep(300 * time.Millisecond)
	v.file(t, "done")
	if v.suffer.Wait(t); !strings.Contains(v.suffer.Output(), "first changed byte 65536 of") {
		t.Errorf("a packet with another key: %s", v.suffer.Output())
	}
}

// rowWith checks that a line of a table has a word.
func rowWith(table, word string) error {
	for f := range strings.FieldsSeq(table) {
		if f == word {
			return nil
		}
	}
	return missing{table, "line", word}
}

// TestStrangeRouters has routers join that must not.
func TestStrangeRouters(t *testing.T) {
	defer took(t)()
	c := host.StartCluster(t, 2, host.Shape{})
	refused := func(name string, flags []string, because string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := c.AddHost("host9")
			if out := h.RouterFails(t, flags...); !strings.Contains(out, because) {
				t.Errorf("it was refused, but not because %q:\n%s", because, out)
			}
		})
	}
	stolen := t.TempDir()
	if out, err := exec.Command("cp", "-r", filepath.Join(c.Hosts[1].DataDir(), "router"), stolen).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	none := "--join-token="
	refused("without a token", []string{none}, "token")
	refused("with a made-up token", []string{"--join-token=" + strings.Repeat("a", 20)}, "token")
	refused("with another host's certificate", []string{none, "--data-dir", stolen}, "token")
	refused("with another host's address", []string{"--host-ip", c.Hosts[1].IP.String()}, "is host host2's")
	refused("with another host's name", []string{"--host-name", "host2"}, "a host named host2 is there already")
	t.Run("without a certificate", func(t *testing.T) {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DialContext: func(context.Context, string, string) (conn net.Conn, err error) {
			err = c.Under.NS.Do(func() (err error) {
				conn, err = net.Dial("tcp", c.Orchestrators[0].IP.String()+":7470")
				return err
			})
			return conn, err
		}}}
		answer, err := client.Post(c.Orchestrators[0].URL()+"/freeflow.v1.RouterService/Heartbeat", "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("HTTP status %d", answer.StatusCode)
		}
	})
	rows, err := c.Hosts[0].Client().Hosts(t.Context())
	if err != nil || len(rows) != 2 {
		t.Errorf("%v; hosts: %+v", err, rows)
	}
	between(c, 0, 1).succeed(t, host.Program(t, "traffic"), "-d", "1")
}
