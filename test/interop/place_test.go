package interop

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/test/host"
	"github.com/freeflow-rdma/freeflow/test/interop/guest"
)

// place is where programs run: a guest, or a container.
type place interface {
	// ip is the address that programs meet at, over TCP.
	ip() string
	// begin starts a shell script, with $GID the index of the GID that programs are to use and $DIR the directory of
	// test/programs' results.
	begin(t *testing.T, script string, limit time.Duration) process
}

// process is a script that has been started; guest.Process and host.Running are.
type process interface {
	Wait(t testing.TB) int
	WaitListen(t testing.TB, port int)
	Output() string
	Kill()
}

// findGID is the beginning of a script: it looks for a GID in sysfs, which is what a user would do.
func findGID(gid netip.Addr) string {
	b := gid.As16()
	var words []string
	for i := 0; i < len(b); i += 2 {
		words = append(words, fmt.Sprintf("%02x%02x", b[i], b[i+1]))
	}
	return fmt.Sprintf(`GID=0; until [ "$(cat /sys/class/infiniband/rxe0/ports/1/gids/$GID 2>/dev/null)" = %s ]; do
	GID=$((GID+1)); [ $GID -lt 64 ] || { echo "no GID is %s"; exit 99; }; done
`, strings.Join(words, ":"), gid)
}

// inGuest is a place; gid is one of the guest's addresses.
type inGuest struct {
	*guest.Guest
	gid netip.Addr
}

func (g inGuest) ip() string { return g.IP }

func (g inGuest) begin(t *testing.T, script string, limit time.Duration) process {
	t.Helper()
	return g.Start(t, findGID(g.gid)+"DIR=/tmp\n"+script).Within(limit)
}

// inContainer is a place: each script is a container of its own. gid is the host's address on the underlay.
type inContainer struct {
	*host.Host
	address string // of the last one
	gid     netip.Addr
	dir     string
}

func (c *inContainer) ip() string { return c.address }

func (c *inContainer) begin(t *testing.T, script string, limit time.Duration) process {
	t.Helper()
	c.address = c.NewIP()
	return c.Start(t, host.Options{IP: c.address, Time: limit}, "sh", "-c", findGID(c.gid)+"DIR="+c.dir+"\n"+script)
}
