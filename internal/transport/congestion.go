package transport

// Congestion control of one connection, after Westwood+ (docs/design/0010): the window grows as Reno's does, and after a loss it becomes what
// the measured rate of acknowledgements says the path holds, so that a stray loss costs little and a full queue costs what it should.
// Everything is in packets and nanoseconds.
type congestion struct {
	cwnd, ssthresh float64
	top            float64 // the largest window

	srtt, rttvar, minRTT int64
	rate                 float64 // acknowledged packets a nanosecond, smoothed
	since                int64   // the rate's current interval
	count                int     // acknowledged in it
	cutAt                int64   // when the window was last cut
}

// Windows: in bytes where they begin and end, in packets how small they become.
const (
	firstWindow = 64 << 10
	lastWindow  = 1 << 20
	floorLoss   = 8
	floorTime   = 4
)

// shortest is less than a round trip between two hosts takes, in ns.
const shortest = 2_000

// Retransmission timer, in ns.
const (
	rtoFirst = 4_000_000 // before anything was measured
	rtoFloor = 1_000_000
)

func (g *congestion) start(mtu uint32) {
	*g = congestion{cwnd: float64(firstWindow / mtu), ssthresh: 1 << 20, top: float64(lastWindow / mtu)}
}

// window is how many packets may be in flight.
func (g *congestion) window() int { return int(g.cwnd) }

// rto is the retransmission timer without back-off (RFC 6298).
func (g *congestion) rto() int64 {
	if g.srtt == 0 {
		return rtoFirst
	}
	return max(rtoFloor, g.srtt+4*g.rttvar)
}

// round is about one round trip.
func (g *congestion) round() int64 {
	if g.srtt == 0 {
		return rtoFloor
	}
	return g.srtt + g.srtt/4 + g.rttvar
}

// sample is a round trip that was measured on a packet sent once (Karn). Two workers' times differ by as much as their turns take: what is
// shorter than any round trip between hosts is no measurement.
func (g *congestion) sample(rtt int64) {
	if rtt < shortest {
		return
	}
	if g.minRTT == 0 || rtt < g.minRTT {
		g.minRTT = rtt
	}
	if g.srtt == 0 {
		g.srtt, g.rttvar = rtt, rtt/2
		return
	}
	d := g.srtt - rtt
	if d < 0 {
		d = -d
	}
	g.rttvar += (d - g.rttvar) / 4
	g.srtt += (rtt - g.srtt) / 8
}

// acked counts n packets that arrived; full says that the window was what held the sender back.
func (g *congestion) acked(now int64, n int, full bool) {
	g.count += n
	if dt := now - g.since; g.since == 0 || dt > 8*g.round() {
		g.since, g.count = now, 0 // it was idle
	} else if dt >= max(g.srtt, 50_000) {
		r := float64(g.count) / float64(dt)
		if g.rate == 0 {
			g.rate = r
		} else {
			g.rate += (r - g.rate) / 8
		}
		g.since, g.count = now, 0
	}
	if !full {
		return
	}
	if g.cwnd < g.ssthresh {
		g.cwnd += float64(n)
	} else {
		g.cwnd += float64(n) / g.cwnd
	}
	g.cwnd = min(g.cwnd, g.top)
}

// cut says whether the window may be cut now: once a round trip.
func (g *congestion) cut(now int64) bool {
	if now-g.cutAt < g.round() && g.cutAt != 0 {
		return false
	}
	g.cutAt = now
	return true
}

// held is what the path holds by the rate and the shortest round trip.
func (g *congestion) held() float64 { return max(g.rate*float64(g.minRTT), floorLoss) }

// lost is a packet that did not arrive although later ones did.
func (g *congestion) lost(now int64) {
	if g.cut(now) {
		g.ssthresh = g.held()
		g.cwnd = min(g.cwnd, g.ssthresh)
	}
}

// timeout is a retransmission timer that ran out.
func (g *congestion) timeout(now int64) {
	g.ssthresh = g.held()
	g.cwnd, g.cutAt = min(g.cwnd, floorTime), now
}

// marked is a congestion mark on the way.
func (g *congestion) marked(now int64) {
	if g.cut(now) {
		g.cwnd = max(g.cwnd*0.7, floorTime)
		g.ssthresh = g.cwnd
	}
}
