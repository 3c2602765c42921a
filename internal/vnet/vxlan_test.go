package vnet

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

const vni = 7

// Three hosts with a container each, and every packet size that the network promises:
//
//	10.77.0.1 ── host 1 ═╗
//	10.77.0.2 ── host 2 ═╬═ underlay
//	10.77.0.3 ── host 3 ═╝
func TestTunnelsJoinHosts(t *testing.T) {
	u := newUnderlay(t, 9000)
	where := map[string]*site{}
	containers := map[string]*Namespace{}
	for _, ip := range []string{"10.77.0.1", "10.77.0.2", "10.77.0.3"} {
		where[ip] = u.site(t, "default")
		containers[ip] = where[ip].container(t, "default", ip)
	}
	for _, s := range where {
		s.knows(t, "default", vni, where)
	}
	for a, from := range containers {
		for b, to := range containers {
			if a == b {
				continue
			}
			ping(t, from, b, "-M", "do", "-s", fmt.Sprint(9000-VXLANOverhead4-28))
			local := LinkLocal(MAC(netip.MustParseAddr(b)))
			for _, address := range []string{b + ":4000", fmt.Sprintf("[%s%%eth0]:4001", local)} {
				if err := exchange(from, to, address); err != nil {
					t.Errorf("%s to %s: %v", a, address, err)
				}
			}
		}
	}
}

func TestBroadcastReachesAllHosts(t *testing.T) {
	u := newUnderlay(t, 1500)
	where := map[string]*site{}
	got := make(chan string, 2)
	var from *Namespace
	for _, ip := range []string{"10.77.0.1", "10.77.0.2", "10.77.0.3"} {
		where[ip] = u.site(t, "default")
		c := where[ip].container(t, "default", ip)
		if from == nil {
			from = c
			continue
		}
		listenUDP(t, c, ip, got)
	}
	for _, s := range where {
		s.knows(t, "default", vni, where)
	}
	must(t, from.Do(func() error {
		conn, err := net.Dial("udp4", "10.77.255.255:5000")
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = io.WriteString(conn, "hello")
		return err
	}))
	heard := map[string]bool{}
	for range 2 {
		select {
		case ip := <-got:
			heard[ip] = true
		case <-time.After(10 * time.Second):
			t.Fatalf("only %v heard the broadcast", heard)
		}
	}
	if len(heard) != 2 {
		t.Errorf("one host heard the broadcast twice: %v", heard)
	}
}

func listenUDP(t *testing.T, ns *Namespace, name string, got chan<- string) {
	t.Helper()
	var conn net.PacketConn
	must(t, ns.Do(func() (err error) {
		conn, err = net.ListenPacket("udp4", ":5000")
		return err
	}))
	t.Cleanup(func() { conn.Close() })
	go func() {
		for {
			if _, _, err := conn.ReadFrom(make([]byte, 16)); err != nil {
				return
			}
			got <- name
		}
	}()
}

// TestKnownContainersCauseNoFlood: host 2 does not know of the network, so nobody there could answer; host 1
// answers for it.
func TestKnownContainersCauseNoFlood(t *testing.T) {
	u := newUnderlay(t, 1500)
	s1, s2 := u.site(t, "default"), u.site(t)
	a := s1.container(t, "default", "10.77.0.1")
	s1.knows(t, "default", vni, map[string]*site{"10.77.0.2": s2})
	noPing(t, a, "10.77.0.2")
	lines, err := handleAt(t, a).NeighList(0, netlink.FAMILY_V4)
	must(t, err)
	if len(lines) != 1 || lines[0].HardwareAddr.String() != "02:ff:0a:4d:00:02" {
		t.Errorf("the container's neighbours: %v", lines)
	}
}

func TestMovedContainerIsFollowed(t *testing.T) {
	u := newUnderlay(t, 1500)
	s1, s2, s3 := u.site(t, "default"), u.site(t, "default"), u.site(t, "default")
	a := s1.container(t, "default", "10.77.0.1")
	b := s2.container(t, "default", "10.77.0.2")
	all := []*site{s1, s2, s3}
	tell := func(where map[string]*site) {
		t.Helper()
		for _, s := range all {
			s.knows(t, "default", vni, where)
		}
	}
	tell(map[string]*site{"10.77.0.1": s1, "10.77.0.2": s2})
	ping(t, a, "10.77.0.2")
	for _, to := range []*site{s3, s1, s2} { // to another host, home to a, and away again
		for _, s := range all {
			must(t, s.Detach(on("default", "10.77.0.2")))
		}
		b.Close()
		b = to.container(t, "default", "10.77.0.2")
		tell(map[string]*site{"10.77.0.1": s1, "10.77.0.2": to})
		ping(t, a, "10.77.0.2")
		ping(t, b, "10.77.0.1")
	}
	tell(map[string]*site{"10.77.0.1": s1})
	noPing(t, a, "10.77.0.2")
}

// TestNetworksDoNotMeet: each network has a 10.77.0.2 on host 2, and its 10.77.0.1 reaches that one only.
func TestNetworksDoNotMeet(t *testing.T) {
	u := newUnderlay(t, 1500)
	s1, s2 := u.site(t, "red", "blue"), u.site(t, "red", "blue")
	where := map[string]*site{"10.77.0.1": s1, "10.77.0.2": s2}
	for i, network := range []string{"red", "blue"} {
		for _, s := range []*site{s1, s2} {
			s.knows(t, network, uint32(i+1), where)
		}
	}
	a := map[string]*Namespace{}
	for _, network := range []string{"red", "blue"} {
		a[network] = s1.container(t, network, "10.77.0.1")
		b := s2.container(t, network, "10.77.0.2")
		var l net.Listener
		must(t, b.Do(func() (err error) { l, err = net.Listen("tcp", ":4000"); return err }))
		defer l.Close()
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				io.WriteString(conn, network)
				conn.Close()
			}
		}()
	}
	for network, from := range a {
		var said []byte
		must(t, from.Do(func() error {
			conn, err := net.DialTimeout("tcp", "10.77.0.2:4000", 5*time.Second)
			if err != nil {
				return err
			}
			defer conn.Close()
			said, err = io.ReadAll(conn)
			return err
		}))
		if string(said) != network {
			t.Errorf("from %s one reaches %s", network, said)
		}
	}
	s1.knows(t, "red", 1, nil)
	noPing(t, a["red"], "10.77.0.2")
	ping(t, a["blue"], "10.77.0.2")
}

// TestSpoofedMACDrawsNothing: a container that speaks with a remote one's MAC does not get its packets.
func TestSpoofedMACDrawsNothing(t *testing.T) {
	u := newUnderlay(t, 1500)
	s1, s2 := u.site(t, "default"), u.site(t, "default")
	where := map[string]*site{"10.77.0.1": s1, "10.77.0.2": s2, "10.77.0.3": s1}
	s1.knows(t, "default", vni, where)
	s2.knows(t, "default", vni, where)
	a := s1.container(t, "default", "10.77.0.1")
	s2.container(t, "default", "10.77.0.2")
	thief := s1.container(t, "default", "10.77.0.3")
	inside := handleAt(t, thief)
	eth0, err := inside.LinkByName(ContainerLink)
	must(t, err)
	must(t, inside.LinkSetHardwareAddr(eth0, MAC(netip.MustParseAddr("10.77.0.2"))))
	noPing(t, thief, "10.77.0.99") // ARP requests, which a bridge learns from
	ping(t, a, "10.77.0.2")
}

// TestTunnelsCarryStreams looks for what tunnels over veth are known to break: checksums left to hardware
// that is not there, and segments larger than anybody merges or splits.
func TestTunnelsCarryStreams(t *testing.T) {
	if _, err := exec.LookPath("iperf3"); err != nil {
		t.Fatal("this test needs iperf3: install the Debian package iperf3")
	}
	for _, mtu := range []int{1500, 9000} {
		u := newUnderlay(t, mtu)
		s1, s2 := u.site(t, "default"), u.site(t, "default")
		where := map[string]*site{"10.77.0.1": s1, "10.77.0.2": s2}
		s1.knows(t, "default", vni, where)
		s2.knows(t, "default", vni, where)
		a, b := s1.container(t, "default", "10.77.0.1"), s2.container(t, "default", "10.77.0.2")
		serve(t, b)
		for _, options := range []string{"-n 200M", "-n 20M -R", "-u -b 200M -n 10M -l 1200"} {
			args := append([]string{"-c", "10.77.0.2", "-J", "--connect-timeout", "5000"}, strings.Fields(options)...)
			out, err := run(a, "iperf3", args...)
			if err != nil {
				t.Fatalf("iperf3 %s: %v\n%s", options, err, out)
			}
			var report struct {
				End struct {
					Received struct {
						Bits float64 `json:"bits_per_second"`
					} `json:"sum_received"`
					Sum struct {
						Packets, Lost_packets float64
					}
				}
			}
			must(t, json.Unmarshal([]byte(out), &report))
			t.Logf("MTU %d, iperf3 %s: %.1f Gbit/s, %.0f of %.0f datagrams lost", mtu, options,
				report.End.Received.Bits/1e9, report.End.Sum.Lost_packets, report.End.Sum.Packets)
			if report.End.Sum.Lost_packets > report.End.Sum.Packets/2 {
				t.Errorf("iperf3 %s: most datagrams are lost", options)
			}
		}
	}
}

// serve runs an iperf3 server in the namespace until the test ends, and returns when it listens.
func serve(t *testing.T, ns *Namespace) {
	t.Helper()
	server := exec.Command("iperf3", "-s")
	must(t, ns.Do(server.Start))
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := ns.Do(func() error {
			conn, err := net.Dial("tcp", "10.77.0.2:5201")
			if err == nil {
				conn.Close()
			}
			return err
		})
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
