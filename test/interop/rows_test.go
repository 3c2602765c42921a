package interop

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
)

// row is a program as both sides run it; the client gets the server's address besides.
type row struct {
	command string // for sh; $GID and $DIR as place.begin says
	port    int    // where the two meet
	limit   time.Duration
}

// name is the command without what sh fills in.
func (r row) name() string {
	return strings.NewReplacer("CHECK_GID=$GID ", "", "$DIR/", "", "-g $GID ", "", " -x $GID -F", "").Replace(r.command)
}

// Where perftest and the pingpongs of libibverbs meet, and where the programs of test/programs do (check.h).
const (
	port    = 18515
	meeting = 18600
)

// everything says whether every row is to run, which takes long: FF_INTEROP_ALL.
func everything() bool { return os.Getenv("FF_INTEROP_ALL") != "" }

// few leaves out what a row of another size says as well, unless everything is to run.
func few[T comparable](all []T, dispensable ...T) (sizes []T) {
	for _, s := range all {
		if everything() || !slices.Contains(dispensable, s) {
			sizes = append(sizes, s)
		}
	}
	return sizes
}

// pingpongs are libibverbs' examples; they check every payload (-c). They sleep until a completion comes (-e) but in one row each:
// a guest has one processor and may share that with others.
func pingpongs() (rows []row) {
	add := func(program string, size int, options string) {
		rows = append(rows, row{fmt.Sprintf("%s -g $GID -c -n 20 -s %d %s", program, size, options), port, time.Minute})
	}
	for _, program := range []string{"ibv_rc_pingpong -m 1024", "ibv_uc_pingpong -m 1024", "ibv_ud_pingpong", "ibv_srq_pingpong -m 1024 -q 4"} {
		add(program, 1024, "")
		for _, size := range few([]int{2, 63, 1023, 1025, 4096, 65536}, 63, 1023, 4096) {
			if program != "ibv_ud_pingpong" || size <= 1024 { // rxe's active MTU
				add(program, size, "-e")
			}
		}
	}
	return rows
}

// perftests are perftest's programs; few iterations, since what matters here is that all of it works.
func perftests() (rows []row) {
	add := func(format string, args ...any) {
		rows = append(rows, row{fmt.Sprintf(format, args...) + " -x $GID -F", port, time.Minute})
	}
	for _, size := range few([]int{2, 64, 1024, 4096, 65536}, 2, 1024, 4096) {
		for _, program := range []string{"ib_send_bw", "ib_write_bw", "ib_read_bw"} {
			add("%s -c RC -s %d -n 20", program, size)
		}
		if size <= 1024 { // rxe's active MTU
			add("ib_send_bw -c UD -s %d -n 20", size)
		}
	}
	for _, kind := range []string{"CMP_AND_SWAP", "FETCH_AND_ADD"} {
		add("ib_atomic_bw -A %s -n 30", kind)
		add("ib_atomic_lat -A %s -n 30", kind)
	}
	for _, program := range []string{"ib_send", "ib_write", "ib_read"} {
		add("%s_lat -c RC -s 64 -n 30", program)
		add("%s_bw -c RC -b -s 65536 -n 20", program)
		if everything() || program == "ib_write" {
			add("%s_bw -c RC -s 8388608 -n 5", program)
		}
	}
	add("ib_send_lat -c UD -s 64 -n 30")
	add("ib_send_bw -c UC -s 4096 -n 20")
	add("ib_write_bw -c UC -s 4096 -n 20")
	add("ib_send_bw -c RC -q 8 -s 4096 -n 20")
	add("ib_send_bw -c RC -e -s 4096 -n 20")
	return rows
}

// verify looks at every byte of every kind of message: test/programs/verify.c. CHECK_GID says which GID it uses.
func verify(service string) row {
	return row{"CHECK_GID=$GID $DIR/verify " + service, meeting, 3 * time.Minute}
}

// lossy are rows that must get through although one packet in fifty is lost. Their programs meet over TCP before they end: one that
// ends with its last receive leaves a peer whose last acknowledgement was lost with nobody to ask, for ever (the pingpongs do).
func lossy() []row {
	at := func(command string) row { return row{command, port, 2 * time.Minute} }
	return []row{
		at("ib_send_lat -c RC -s 4096 -n 50 -x $GID -F"),
		at("ib_send_bw -c RC -s 65536 -n 20 -x $GID -F"),
		at("ib_write_bw -c RC -s 65536 -n 20 -x $GID -F"),
		at("ib_read_bw -c RC -s 65536 -n 20 -x $GID -F"),
		at("ib_atomic_bw -A FETCH_AND_ADD -n 100 -x $GID -F"),
	}
}

// attempts is how often a row is tried whose program could not measure its own clock, which happens under emulation.
const attempts = 3

// between runs a row with its server and its client in a place each.
func between(t *testing.T, server, client place, r row) {
	t.Helper()
	start := time.Now()
	var s, c process
	defer func() { bothSaid(t, s, c) }()
	for i := 1; ; i++ {
		s, c = nil, nil
		s = server.begin(t, r.command, r.limit)
		s.WaitListen(t, r.port)
		c = client.begin(t, r.command+" "+server.ip(), r.limit)
		ofClient, ofServer := c.Wait(t), s.Wait(t)
		if i < attempts && noClock(c.Output()+s.Output()) {
			t.Logf("once more: the program could not measure its clock")
			continue
		}
		if ofClient != 0 || ofServer != 0 {
			t.Fatalf("client: exit status %d, server: exit status %d", ofClient, ofServer)
		}
		break
	}
	if took := time.Since(start); took > 5*time.Second {
		fmt.Printf("slow: %s: %.1f s\n", t.Name(), took.Seconds())
	}
}

// bothSaid logs what both sides of a row that has failed have said; of one that hangs the other often tells why.
func bothSaid(t *testing.T, server, client process) {
	t.Helper()
	if !t.Failed() {
		return
	}
	for who, p := range map[string]process{"client": client, "server": server} {
		if p != nil {
			t.Logf("%s said:\n%s", who, p.Output())
		}
	}
}

// noClock says whether perftest gave up, or printed nonsense, for want of a clock.
func noClock(said string) bool {
	return strings.Contains(said, "Can't produce a report") || strings.Contains(said, " inf ")
}

// everyRow runs rows one after the other: guests have one processor.
func everyRow(t *testing.T, server, client place, rows []row) {
	for _, r := range rows {
		t.Run(r.name(), func(t *testing.T) { between(t, server, client, r) })
	}
}

func TestMain(m *testing.M) { host.Main(m) }
