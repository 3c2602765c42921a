package local

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/pcap"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// listen captures n packets from the tap on. What it gives waits for them and says what each is, up to the PSN.
func listen(t *testing.T, tap *pcap.Tap, n string) (lines func() []string) {
	t.Helper()
	answer := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		pcap.Serve(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/capture?count="+n, nil), tap)
	}()
	for !tap.Active() {
		time.Sleep(time.Millisecond)
	}
	return func() (all []string) {
		<-done
		r, err := pcap.NewReader(bytes.NewReader(answer.Body.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		for {
			rec, err := r.Next()
			if err != nil {
				return all
			}
			_, line, _ := strings.Cut(rec.Line(), " ")
			all = append(all, line)
		}
	}
}

// TestCapture shows one message of each kind as packets, with PSNs that follow each other and the answers of a responder.
func TestCapture(t *testing.T) {
	tap := new(pcap.Tap)
	nic := vt.New(t, Carrier{Tap: tap})
	p := &pair{a: nic.Program(t), b: nic.Program(t)}
	p.ca, p.cb = p.a.CQ(255), p.b.CQ(255)
	p.qa, p.qb = p.a.QP(verbs.TypeRC, p.ca, 63), p.b.QP(verbs.TypeRC, p.cb, 63)
	vt.Connect(p.qa, p.qb, nil)
	const n = 1500 // two packets of the path MTU 1024
	src, dst := buffers(p, 0, n)
	lines := listen(t, tap, "14")
	p.qb.Recv(vt.RR(1, dst.SGE(0, n)))
	p.qa.Send(vt.WR(1, verbs.OpSend, src.SGE(0, n)))
	want(t, p.ca.Poll(), 1, verbs.WCSuccess)
	for i, op := range []verbs.Opcode{verbs.OpRDMAWrite, verbs.OpRDMARead, verbs.OpAtomicFetchAdd, verbs.OpRDMAWrite} {
		length := n
		if op == verbs.OpAtomicFetchAdd {
			length = 8
		}
		w := vt.WR(uint64(i), op, src.SGE(0, length))
		w.RemoteAddr, w.RKey, w.CompareAdd = dst.Addr, uint32(dst.RKey), 5
		status := verbs.WCSuccess
		if i == 3 {
			w.RKey, status = 1, verbs.WCRemAccessErr
		}
		p.qa.Send(w)
		want(t, p.ca.Poll(), uint64(i), status)
	}
	var got []string
	for _, l := range lines() {
		words := strings.Fields(l)
		from, what := words[0], strings.Join(words[3:], " ")
		if i := strings.Index(what, " va "); i >= 0 {
			what = what[:i]
		}
		got = append(got, from+" "+what)
	}
	expected := []string{
		"10.77.0.1 RC SEND First qp 0x000011 psn 7 len 1024",
		"10.77.0.1 RC SEND Last qp 0x000011 psn 8 len 476 ackreq",
		"10.77.0.2 RC Acknowledge qp 0x000010 psn 8 ack msn 1",
		"10.77.0.1 RC RDMA WRITE First qp 0x000011 psn 9",
		"10.77.0.1 RC RDMA WRITE Last qp 0x000011 psn 10 len 476 ackreq",
		"10.77.0.2 RC Acknowledge qp 0x000010 psn 10 ack msn 2",
		"10.77.0.1 RC RDMA READ Request qp 0x000011 psn 11",
		"10.77.0.2 RC RDMA READ Response First qp 0x000010 psn 11 ack msn 3 len 1024",
		"10.77.0.2 RC RDMA READ Response Last qp 0x000010 psn 12 ack msn 3 len 476",
		"10.77.0.1 RC FetchAdd qp 0x000011 psn 13",
		"10.77.0.2 RC ATOMIC Acknowledge qp 0x000010 psn 13 ack msn 4 was 0x0",
		"10.77.0.1 RC RDMA WRITE First qp 0x000011 psn 14",
		"10.77.0.1 RC RDMA WRITE Last qp 0x000011 psn 15 len 476 ackreq",
		"10.77.0.2 RC Acknowledge qp 0x000010 psn 15 nak access msn 5",
	}
	if !slices.Equal(got, expected) {
		t.Errorf("captured\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(expected, "\n"))
	}
}

// TestCaptureDatagram shows a datagram although nobody takes it, with the QKey that it carries.
func TestCaptureDatagram(t *testing.T) {
	tap := new(pcap.Tap)
	nic := vt.New(t, Carrier{Tap: tap})
	a, b := nic.Program(t), nic.Program(t)
	qa, qb := a.QP(verbs.TypeUD, a.CQ(16), 15), b.QP(verbs.TypeUD, b.CQ(16), 15)
	unconnected(qa, qb)
	lines := listen(t, tap, "1")
	src := a.Shared(100, vt.AllAccess)
	qa.Send(datagramTo(1, qb, a.AH(b.Cont.GIDs[0]), src.SGE(0, 100)))
	got := lines()
	if len(got) != 1 || !strings.Contains(got[0], "UD SEND Only") || !strings.Contains(got[0], "qkey 0x11111111 len 100") {
		t.Errorf("captured %q", got)
	}
}
