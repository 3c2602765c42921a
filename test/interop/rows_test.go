package interop

import (
	"fmt"
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

// pingpongs are libibverbs' examples; they check every payload (-c). They sleep until a completion comes (-e) but in one row each:
// a guest has one processor and may share that with others.
func pingpongs() (rows []row) {
	add := func(program string, size int, options string) {
		rows = append(rows, row{fmt.Sprintf("%s -g $GID -c -n 20 -s %d %s", program, size, options), port, time.Minute})
	}
	for _, program := range []string{"ibv_rc_pingpong -m 1024", "ibv_uc_pingpong -m 1024", "ibv_ud_pingpong", "ibv_srq_pingpong -m 1024 -q 4"} {
		add(program, 1024, "")
		for _, size := range []int{2, 63, 1023, 1025, 4096, 65536} {
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
	for _, size := range []int{2, 64, 1024, 4096, 65536} {
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
		add("%s_bw -c RC -s 8388608 -n 5", program)
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

// lossy are rows that must get through although one packet in fifty is lost.
func lossy() []row {
	at := func(command string) row { return row{command, port, 2 * time.Minute} }
	return []row{
		at("ibv_rc_pingpong -m 1024 -g $GID -c -n 50 -s 4096 -e"),
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
	for i := 1; ; i++ {
		s := server.begin(t, r.command, r.limit)
		s.WaitListen(t, r.port)
		c := client.begin(t, r.command+" "+server.ip(), r.limit)
		ofClient, ofServer := c.Wait(t), s.Wait(t)
		said := fmt.Sprintf("client: exit status %d\n%s\nserver: exit status %d\n%s", ofClient, c.Output(), ofServer, s.Output())
		if i < attempts && noClock(said) {
			t.Logf("once more: the program could not measure its clock")
			continue
		}
		if ofClient != 0 || ofServer != 0 {
			t.Fatal(said)
		}
		break
	}
	if took := time.Since(start); took > 5*time.Second {
		fmt.Printf("slow: %s: %.1f s\n", t.Name(), took.Seconds())
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
