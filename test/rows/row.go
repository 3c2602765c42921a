package rows

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Row is a program as both sides run it. Server and Client are for sh, which has $IP and $IP6, the side's own addresses, $SERVER and $SERVER6,
// the server's (in Client only), and $DIR, the directory of the results of test/programs. A side without IPv6 has an empty $IP6.
type Row struct {
	Name           string
	Server, Client string

	// How it is seen that the server is ready: it listens on a port of RDMA-CM, or of TCP, or says so.
	CM, TCP int
	Ready   string

	Stays  bool     // the server does not end by itself: it is killed once the client has ended
	Status int      // the client's exit status
	Says   []string // what the client says, among other things
	Never  []string // what neither says
	Again  []string // what somebody says when the program has lost a race of its own, or cannot measure its clock: the row is run again
	Limit  time.Duration

	Dispensable bool // left out where time is short
	OwnTCP      bool // client and server also meet over TCP, at the address that RDMA-CM is given
}

// Place is where a side's scripts run.
type Place interface {
	// Begin starts a script, with $IP, $IP6 and $DIR set.
	Begin(t testing.TB, script string, limit time.Duration) Process
	// Address is where peers find what was begun last, by IPv4 and by IPv6.
	Address() (ip, ip6 string)
	// Listening says why what was begun last does not listen on a port of RDMA-CM, or nil.
	Listening(t testing.TB, port int) error
}

// Process is a script that has been started.
type Process interface {
	Wait(t testing.TB) int
	WaitListen(t testing.TB, port int) // on TCP
	Output() string
	Kill()
}

// Attempts is how often a row is run whose program loses races of its own.
const Attempts = 12

// Between runs a row with its server and its client in a place each.
func Between(t *testing.T, server, client Place, r Row) {
	t.Helper()
	for i := 1; ; i++ {
		if !r.once(t, server, client) {
			return
		}
		if i == Attempts {
			t.Fatalf("%d times the program lost a race of its own", Attempts)
		}
		t.Log("once more: the program lost a race of its own")
	}
}

// once runs the row and says whether it is to be run again.
func (r Row) once(t *testing.T, server, client Place) (again bool) {
	t.Helper()
	var s, c Process
	defer func() { said(t, s, c) }()
	s = server.Begin(t, r.Server, r.limit())
	r.waitReady(t, server, s)
	ip, ip6 := server.Address()
	c = client.Begin(t, fmt.Sprintf("SERVER=%s; SERVER6=%s\n%s", ip, ip6, r.Client), r.limit())
	ofClient, ofServer := c.Wait(t), 0
	if r.LostRace(c.Output()) {
		s.Kill()
		return true
	}
	if r.Stays {
		s.Kill()
	} else if ofClient == r.Status {
		ofServer = s.Wait(t)
	}
	if ofClient != r.Status || ofServer != 0 {
		t.Fatalf("exit status of the client %d, expected %d; of the server %d", ofClient, r.Status, ofServer)
	}
	r.check(t, c.Output(), s.Output())
	return false
}

// LostRace says by what the client has said whether the program lost a race of its own.
func (r Row) LostRace(output string) bool {
	return slices.ContainsFunc(r.Again, func(s string) bool { return strings.Contains(output, s) })
}

func (r Row) limit() time.Duration {
	if r.Limit == 0 {
		return time.Minute
	}
	return r.Limit
}

func (r Row) waitReady(t *testing.T, p Place, s Process) {
	t.Helper()
	if r.TCP != 0 {
		s.WaitListen(t, r.TCP)
	}
	const patience = 30 * time.Second
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = r.ready(t, p, s); err == nil {
			return
		}
	}
	t.Fatalf("the server is not ready: %v", err)
}

func (r Row) ready(t *testing.T, p Place, s Process) error {
	t.Helper()
	if !strings.Contains(s.Output(), r.Ready) {
		return fmt.Errorf("it does not say %q", r.Ready)
	}
	if r.CM == 0 {
		return nil
	}
	return p.Listening(t, r.CM)
}

func (r Row) check(t *testing.T, client, server string) {
	t.Helper()
	for _, want := range r.Says {
		if !strings.Contains(client, want) {
			t.Errorf("the client does not say %q", want)
		}
	}
	for _, no := range r.Never {
		if strings.Contains(client, no) || strings.Contains(server, no) {
			t.Errorf("somebody says %q", no)
		}
	}
}

// said logs what both sides of a row that has failed have said; of one that hangs the other often tells why.
func said(t *testing.T, server, client Process) {
	t.Helper()
	if !t.Failed() {
		return
	}
	if client != nil {
		t.Logf("client:\n%s", client.Output())
	}
	if server != nil {
		t.Logf("server:\n%s", server.Output())
	}
}

// Without gives the rows that do not have a quality.
func Without(all []Row, quality func(Row) bool) []Row {
	return slices.DeleteFunc(slices.Clone(all), quality)
}

// byLine, before a program, has it say each line at once, as it would to a terminal.
const byLine = "stdbuf -oL "

// Programs are those that the rows run, for whoever looks whether they are installed.
func Programs(all []Row) (names []string) {
	for _, r := range all {
		name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(r.Server, "exec "), byLine), " ")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// same is a row whose two sides take the same options, and the client the server's address by an option or as its last argument.
func same(command, address string, port int) Row {
	return Row{Name: command, Server: "exec " + command, Client: fmt.Sprintf("exec %s %s$SERVER", command, address), CM: port}
}
