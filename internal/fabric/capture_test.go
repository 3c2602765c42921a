package fabric

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/pcap"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// listen captures n packets of a host from now on. What it gives waits for them, checks each one's ICRC, and says what they are.
func listen(t *testing.T, h *testHost, n string) (lines func() string) {
	t.Helper()
	answer := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		pcap.Serve(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/capture?count="+n, nil), &h.carrier.Tap)
	}()
	for !h.carrier.Tap.Active() {
		time.Sleep(time.Millisecond)
	}
	return func() string {
		t.Helper()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatalf("there are no %s packets", n)
		}
		var all []string
		r, err := pcap.NewReader(bytes.NewReader(answer.Body.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		for {
			rec, err := r.Next()
			if err != nil {
				return strings.Join(all, "\n")
			}
			_, line, _ := strings.Cut(rec.Line(), " ")
			all = append(all, line)
			checkICRC(t, rec.Frame[14:], line)
		}
	}
}

func checkICRC(t *testing.T, b []byte, what string) {
	t.Helper()
	ip, rest, err := wire.ParseIPv4(b)
	if err != nil {
		t.Fatal(what, err)
	}
	udp, rest, err := wire.ParseUDP(rest)
	if err != nil {
		t.Fatal(what, err)
	}
	end := len(rest) - wire.ICRCSize
	if wire.ICRC(ip, udp, rest[:end]) != wire.GetICRC(rest[end:]) {
		t.Errorf("wrong ICRC: %s", what)
	}
}

// undisturbed runs a test of what packets there are until no timer has sent one again, as happens on a busy machine.
func undisturbed(t *testing.T, run func(t *testing.T) (sender *testHost, check func())) {
	for try := range 5 {
		t.Run(fmt.Sprint("try ", try+1), func(t *testing.T) {
			if sender, check := run(t); sender.carrier.Host.Counters.Timeouts.Load() == 0 {
				check()
				try = -1
			}
		})
		if try < 0 {
			return
		}
	}
	t.Fatal("packets were sent again in each of five tries")
}

// TestCapture captures a SEND of two packets and its acknowledgement on both hosts: without what carries them.
func TestCapture(t *testing.T) { undisturbed(t, captureSend) }

func captureSend(t *testing.T) (*testHost, func()) {
	const size = 1500
	c := connect(t, verbs.TypeRC, size, nil)
	sent, taken := listen(t, c.a, "3"), listen(t, c.b, "3")
	c.qb.Recv(vt.RR(1, c.dst.SGE(0, size)))
	c.qa.Send(vt.WR(2, verbs.OpSend, c.src.SGE(0, size)))
	want(t, c.a.cq.Poll(), 2, verbs.WCSuccess)
	atSender, atReceiver := sent(), taken()
	return c.a, func() {
		contain(t, atSender, atReceiver, "10.77.0.1 > 10.77.0.2 RC SEND First", "10.77.0.1 > 10.77.0.2 RC SEND Last", "10.77.0.2 > 10.77.0.1 RC Acknowledge")
	}
}

// contain fails unless both captures have all lines.
func contain(t *testing.T, atSender, atReceiver string, lines ...string) {
	t.Helper()
	for host, got := range map[string]string{"sender": atSender, "receiver": atReceiver} {
		for _, line := range lines {
			if !strings.Contains(got, line) {
				t.Errorf("%s: no %s in\n%s", host, line, got)
			}
		}
	}
}

// TestCapturePlain captures WRITEs to a peer that is no router: the headers are those that the kernel wrote, or has taken off.
func TestCapturePlain(t *testing.T) { undisturbed(t, capturePlain) }

func capturePlain(t *testing.T) (*testHost, func()) {
	hs := plainHosts(t)
	var qps [2]*vt.QP
	for i, h := range hs {
		qps[i] = h.prog.QP(verbs.TypeRC, h.cq, 63)
	}
	for i, q := range qps {
		to := func(a *verbs.QPAttr) { a.AV.SGIDIndex, a.AV.DGID = 1, verbs.GIDOf(hs[1-i].addr) }
		q.Ready(qps[1-i], to)
	}
	for _, q := range qps {
		q.Start(nil)
	}
	const size = 1500
	src, dst := hs[0].prog.Shared(size, vt.AllAccess), hs[1].prog.Shared(size, vt.AllAccess)
	sent, taken := listen(t, hs[0], "3"), listen(t, hs[1], "3")
	w := vt.WR(2, verbs.OpRDMAWrite, src.SGE(0, size))
	w.RemoteAddr, w.RKey = dst.Addr, uint32(dst.RKey)
	qps[0].Send(w)
	want(t, hs[0].cq.Poll(), 2, verbs.WCSuccess)
	atSender, atReceiver := sent(), taken()
	return hs[0], func() {
		contain(t, atSender, atReceiver, "127.0.79.1 > 127.0.79.2 RC RDMA WRITE First", "127.0.79.1 > 127.0.79.2 RC RDMA WRITE Last", "127.0.79.2 > 127.0.79.1 RC Acknowledge")
	}
}
