package rows

import (
	"fmt"
	"strings"
	"time"
)

// The ports of RDMA-CM that programs use unless they are told another.
const (
	pingPort  = 7174 // rping, udaddy
	matePort  = 7471 // ucmatose, cmtime, rdma_server, rdma_xserver, rstream, riostream
	copyPort  = 7427 // rcopy
	perfPort  = 18515
	qperfPort = 19765 // of TCP
)

// RDMACM are rows of every program of rdmacm-utils that works between two kernels. Not among them: udaddy -P ipoib and rdma_xserver -c x,
// for which a RoCE device or rxe has no support, and udpong, which finds no address handle on RoCE v2.
func RDMACM() []Row {
	var all []Row
	all = append(all, pings()...)
	all = append(all, mates()...)
	all = append(all, datagrams()...)
	all = append(all, streams()...)
	all = append(all, times()...)
	return append(all, refusals()...)
}

// pings are rping's, which compares what comes back with what it sent (-V).
func pings() (all []Row) {
	for _, x := range []struct {
		size int
		rest string
	}{{64, ""}, {100, " -q"}, {1000, ""}, {4096, ""}, {65535, ""}} {
		r := same(fmt.Sprintf("rping -V -C 20 -S %d%s", x.size, x.rest), "-c -a ", pingPort)
		r.Server += " -s -a $IP"
		r.Dispensable = x.size == 1000 || x.size == 4096
		all = append(all, r)
	}
	wild := same("rping -v -V -C 3 -S 100", "-c -a ", pingPort)
	wild.Name = "rping, server at every address"
	wild.Server += " -s -a 0.0.0.0"
	wild.Says = []string{"ping data: rdma-ping-2: CDEFGH"}
	one := same("rping -V -C 3 -S 100 -p 9999", "-c -a ", 9999)
	one.Server += " -s -a $IP"
	one.Client += " -I $IP"
	one.Name = "rping, client from an address, other port"
	return append(all, wild, one, manyPings(8))
}

// manyPings are clients of one server, one after the other: rping -P mixes up those that come at the same time.
func manyPings(n int) Row {
	return Row{
		Name: "rping -P, many clients", Server: "exec rping -s -P -V -S 200 -a $IP", CM: pingPort, Stays: true, Limit: 2 * time.Minute,
		Client: fmt.Sprintf("for i in $(seq %d); do rping -c -V -C 5 -S 200 -a $SERVER || exit 1; done", n),
	}
}

func mates() (all []Row) {
	for _, options := range []string{"", " -c 10 -C 20 -S 4096", " -c 3 -t 8", " -c 3 -m", " -c 3 -a 12", " -P ib", " -c 200 -C 2"} {
		r := same("ucmatose"+options, "-s ", matePort)
		r.Says = []string{"return status 0"}
		r.Dispensable = strings.Contains(options, "-t") || strings.Contains(options, "-a")
		all = append(all, r)
	}
	bound := same("ucmatose -c 2", "-s ", matePort)
	bound.Name += ", both at an address"
	bound.Server += " -b $IP"
	bound.Client += " -b $IP"
	all = append(all, bound)
	for _, more := range []string{"", " -c r"} {
		r := Row{Name: "rdma_server", Server: "exec rdma_server", Client: "exec rdma_client -s $SERVER", CM: matePort, Says: []string{"end 0"}}
		if more != "" {
			r.Name, r.Server, r.Client = "rdma_xserver"+more, "exec rdma_xserver"+more, "exec rdma_xclient -s $SERVER"+more
		}
		all = append(all, r)
	}
	return all
}

// datagrams are of UD: udaddy resolves the peer by SIDR, mckey joins a multicast group.
func datagrams() (all []Row) {
	for _, options := range []string{"", " -c 5 -C 20 -S 512", " -c 2 -t 8"} {
		r := same("udaddy"+options, "-s ", pingPort)
		r.Says = []string{"return status 0"}
		r.Dispensable = strings.Contains(options, "-t")
		all = append(all, r)
	}
	const mckey = "mckey -m 239.1.2.3 -C 5 -b $IP"
	const joined = "joined dgid: ::ffff:239.1.2.3 mlid 0x0 sl 0"
	return append(all, Row{
		Name: mckey, Server: "exec " + byLine + mckey, Client: "exec " + mckey + " -s", Ready: joined, Says: []string{joined, "return status 0"},
	})
}

// streams are of rsocket. Those that poll (-T a) are not among them: whoever is last sees the peer's end as well and ends with 16.
func streams() (all []Row) {
	for _, options := range []string{"-S 4096 -C 20 -T v", "-S 65536 -C 50 -T v", "-S 1000 -C 20 -T v -T n", "-S 64 -I 50 -C 1 -T b -k 10", "-S 1000 -C 20 -T r"} {
		r := same("rstream "+options, "-s ", matePort)
		r.Dispensable = !strings.Contains(options, "-S 65536") && !strings.Contains(options, "-k")
		all = append(all, r)
	}
	all = append(all, same("riostream -S 4096 -C 20 -T v", "-s ", matePort), same("riostream -S 65536 -C 20 -T v -T b", "-s ", matePort))
	return append(all, Row{
		Name: "rcopy", Server: "exec rcopy", CM: copyPort, Stays: true, Says: []string{"300001 bytes"}, Client: copyFile,
	})
}

// copyFile looks at the copy if the server is on the same machine.
const copyFile = `f=/tmp/rcopy.$$
head -c 300001 /dev/urandom >$f && rcopy $f $SERVER:$f.copy; x=$?
if [ $x = 0 ] && [ -e $f.copy ]; then cmp $f $f.copy; x=$?; fi
rm -f $f $f.copy; exit $x`

// times are cmtime's, which goes on when a connection fails, and says so.
func times() []Row {
	r := same("cmtime", "-s ", matePort)
	r.Name, r.Client, r.Stays, r.Limit = "cmtime -c 200", r.Client+" -c 200", true, 2*time.Minute
	r.Never, r.Says = []string{"event:", "failure", "failing"}, []string{"destroy"}
	more := r
	more.Name, more.Client, more.Dispensable = "cmtime -c 1000 -b", "exec cmtime -c 1000 -b $IP -s $SERVER", true
	return []Row{r, more}
}

// refusals are what programs say when nobody listens on their port.
func refusals() (all []Row) {
	for i, x := range []struct {
		client string
		status int
		says   string
	}{
		{"rping -c -C 1 -a $SERVER", 255, "RDMA_CM_EVENT_REJECTED, error 8"},
		{"udaddy -s $SERVER", 1, "RDMA_CM_EVENT_UNREACHABLE, error: 1"},
		{"rdma_client -s $SERVER", 255, "rdma_connect: Connection refused"},
		{"ucmatose -s $SERVER", 8, "RDMA_CM_EVENT_REJECTED, error: 8"},
		{"cmtime -s $SERVER -c 2", 0, "RDMA_CM_EVENT_REJECTED, error: 8"},
		{"ib_send_bw -R -F -n 5 $SERVER", 1, "Unexpected CM event bl blka 8"},
	} {
		all = append(all, Row{Name: "nobody listens: " + x.client, Server: "exec rping -s -a $IP -p 7000", Client: "exec " + x.client,
			CM: 7000, Stays: true, Status: x.status, Says: []string{x.says}, Dispensable: i > 2})
	}
	// rstream ends in one of two ways, as the refusal comes before or after it first looks; then it prints an errno of long ago.
	return append(all, Row{Name: "nobody listens: rstream", Server: "exec rping -s -a $IP -p 7000", CM: 7000, Stays: true,
		Client: "rstream -s $SERVER -S 64 -C 1; x=$?; [ $x = 8 ] || [ $x = 255 ]"})
}
