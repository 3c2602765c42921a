package transport

import (
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/simnet"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// stream keeps messages of 64 KiB coming from a to b.
type stream struct {
	w    *world
	a    *end
	wr   func() // posts one
	size int
	done int64
}

func newStream(w *world, op verbs.Opcode, mtu uint8) *stream {
	a, _ := w.pair(verbs.TypeRC, 63, func(x *verbs.QPAttr) { x.PathMTU, x.AckTimeout = mtu, 18 })
	src, dst := w.buffers(64 << 10)
	s := &stream{w: w, a: a, size: 64 << 10}
	wr := vt.WR(1, op, src.SGE(0, s.size))
	wr.RemoteAddr, wr.RKey = dst.Addr, uint32(dst.RKey)
	s.wr = func() { a.q.Post(wr) }
	for range 32 {
		s.wr()
	}
	var again func()
	again = func() {
		n := 0
		for {
			e, ok := w.cq[0].PollFor(0)
			if !ok {
				break
			}
			if e.Status != 0 {
				w.Fatalf("completion %+v", e)
			}
			s.done += int64(s.size)
			s.wr()
			n++
		}
		if n > 0 {
			a.run()
		}
		w.net.At(w.net.Now+20_000, again)
	}
	a.run()
	again()
	return s
}

// rate is the bytes a second over the next d ns.
func (s *stream) rate(d int64) float64 {
	was := s.done
	s.w.settle(d)
	return float64(s.done-was) * 1e9 / float64(d)
}

// gigabit10 is a path of 10 Gb/s with a round trip of 100 µs and a queue of 1 MB.
var gigabit10 = simnet.Quality{Delay: 50_000, Rate: 1_250_000_000, Queue: 1 << 20}

// TestLossRate: with one packet in a hundred lost, at least 30 % of the rate without loss is kept.
func TestLossRate(t *testing.T) {
	for _, op := range []verbs.Opcode{verbs.OpRDMAWrite, verbs.OpRDMARead} {
		for _, mtu := range []uint8{3, 5} {
			var rates [2]float64
			for i, loss := range []float64{0, 0.01} {
				q := gigabit10
				q.Loss = loss
				w := newWorld(t, 5, q, q)
				s := newStream(w, op, mtu)
				s.rate(20_000_000)
				rates[i] = s.rate(40_000_000)
				t.Logf("op %d mtu %d loss %v: %.0f MB/s, window %.0f, srtt %d, min %d", op, mtu, loss, rates[i]/1e6, s.a.conn.req.cc.cwnd, s.a.conn.req.cc.srtt, s.a.conn.req.cc.minRTT)
			}
			if rates[0] < 0.75*float64(gigabit10.Rate) {
				t.Errorf("op %d mtu %d: %.0f MB/s without loss", op, mtu, rates[0]/1e6)
			}
			if rates[1] < 0.3*rates[0] {
				t.Errorf("op %d mtu %d: %.0f of %.0f MB/s at one packet in a hundred lost", op, mtu, rates[1]/1e6, rates[0]/1e6)
			}
		}
	}
}

// reno is a TCP sender with Reno's window, the receiver included: what our connections have to share a queue with.
type reno struct {
	net            *simnet.Net
	link           *simnet.Link
	delay          int64
	cwnd, ssthresh float64
	next, acked    int
	recover        int
	dup            int
	got            map[int]bool
	want           int
	bytes          int64
	rtoAt          int64
}

const renoMSS = 4096

// tcpMark begins the packets of the TCP flow, for the link to tell them from ours.
const tcpMark = 0xff

func (r *reno) send() {
	for float64(r.next-r.acked) < r.cwnd {
		r.packet(r.next)
		r.next++
	}
}

func (r *reno) packet(n int) {
	b := make([]byte, renoMSS+60)
	b[12], b[13], b[14], b[15], b[16] = tcpMark, byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
	b[4] = tcpMark
	r.rtoAt = r.net.Now + 5_000_000
	r.link.Send(b)
	at := r.rtoAt
	r.net.At(at, func() {
		if r.rtoAt == at && r.acked < r.next {
			r.ssthresh, r.cwnd, r.next, r.recover, r.dup = max(r.cwnd/2, 2), 2, r.acked, 0, 0
			r.send()
		}
	})
}

func (r *reno) arrive(b []byte) {
	n := int(b[13]) | int(b[14])<<8 | int(b[15])<<16 | int(b[16])<<24
	r.got[n] = true
	for r.got[r.want] {
		delete(r.got, r.want)
		r.want++
		r.bytes += renoMSS
	}
	want := r.want
	r.net.At(r.net.Now+r.delay, func() { r.ack(want) })
}

func (r *reno) ack(n int) {
	switch {
	case n > r.acked:
		d := n - r.acked
		r.acked, r.dup = n, 0
		r.next = max(r.next, n)
		if n < r.recover {
			r.packet(n) // NewReno: the next hole
			break
		}
		if r.cwnd < r.ssthresh {
			r.cwnd += float64(d)
		} else {
			r.cwnd += float64(d) / r.cwnd
		}
	case n == r.acked:
		if r.dup++; r.dup == 3 && n >= r.recover {
			r.recover = r.next
			r.ssthresh = max(r.cwnd/2, 2)
			r.cwnd = r.ssthresh
			r.packet(n)
		}
	}
	r.send()
}

// TestSharesWithTCP: beside a TCP connection in one drop-tail queue neither starves.
func TestSharesWithTCP(t *testing.T) {
	for _, queue := range []int{128 << 10, 512 << 10, 1 << 20} {
		q := gigabit10
		q.Queue = queue
		w := newWorld(t, 9, q, simnet.Quality{Delay: 50_000})
		tcp := &reno{net: w.net, link: w.link[0], delay: 50_000, cwnd: 10, ssthresh: 1e9, got: map[int]bool{}}
		ours := w.link[0].Deliver
		w.link[0].Deliver = func(b []byte, marked bool) {
			if b[4] == tcpMark {
				tcp.arrive(b)
			} else {
				ours(b, marked)
			}
		}
		s := newStream(w, verbs.OpRDMAWrite, 5)
		tcp.send()
		s.rate(50_000_000)
		was := tcp.bytes
		us := s.rate(200_000_000)
		it := float64(tcp.bytes-was) / 0.2
		t.Logf("queue %d: we %.0f MB/s, TCP %.0f MB/s, window %.0f", queue, us/1e6, it/1e6, s.a.conn.req.cc.cwnd)
		if us+it < 0.7*float64(q.Rate) || us < 0.15*(us+it) || it < 0.15*(us+it) {
			t.Errorf("queue %d: we %.0f MB/s, TCP %.0f MB/s", queue, us/1e6, it/1e6)
		}
	}
}

// TestMarks: a queue that marks stays short, and the rate high.
func TestMarks(t *testing.T) {
	q := gigabit10
	q.Mark = 200_000
	w := newWorld(t, 5, q, q)
	s := newStream(w, verbs.OpRDMAWrite, 5)
	s.rate(20_000_000)
	lost := w.link[0].Lost
	r := s.rate(100_000_000)
	if w.link[0].Lost != lost || r < 0.75*float64(q.Rate) || w.host[1].Counters.CNPsSent.Load() == 0 {
		t.Errorf("%.0f MB/s, %d lost, %d marks told", r/1e6, w.link[0].Lost-lost, w.host[1].Counters.CNPsSent.Load())
	}
}
