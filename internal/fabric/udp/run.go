package udp

// Limits of one message.
const (
	maxMessage  = 65_507 // bytes of UDP payload that IPv4 takes; IPv6 takes 20 more
	maxVecs     = 1024   // iovecs: UIO_MAXIOV, <linux/uio.h>
	oldSegments = 64     // UDP_MAX_SEGMENTS, <linux/udp.h>, of every kernel that has UDP_SEGMENT
	newSegments = 128    // since Linux 6.9
)

// run is packets in succession that go as one message. The zero run takes no packets.
type run struct {
	dst     *Dest
	size    int  // bytes of each packet but the last
	bytes   int  // of all packets
	packets int  //
	ended   bool // the last packet was shorter: no more may follow
	vecs    int  // iovecs of its bytes
	first   int  // the first of them, in the batch's
}

// begin makes a run of one packet of size bytes.
func begin(dst *Dest, size, firstVec int) run {
	return run{dst: dst, size: size, bytes: size, packets: 1, first: firstVec}
}

// take adds a packet of size bytes, in at most vecs iovecs, to the run, or says that it cannot: it needs a run of its own.
func (r *run) take(dst *Dest, size, vecs, maxSegments int) bool {
	if r.dst != dst || r.ended || size > r.size || r.packets >= maxSegments ||
		r.bytes+size > maxMessage || r.vecs+vecs > maxVecs {
		return false
	}
	r.packets++
	r.bytes += size
	r.ended = size < r.size
	return true
}

// packet gives the place of packet i in the run's bytes.
func (r *run) packet(i int) (from, to int) {
	return i * r.size, min((i+1)*r.size, r.bytes)
}

// cut appends the iovecs of the bytes from..to of src to dst.
func cut(dst, src []iovec, from, to int) []iovec {
	at := 0
	for _, v := range src {
		end := at + int(v.n)
		if lo, hi := max(at, from), min(end, to); lo < hi {
			dst = append(dst, v.part(lo-at, hi-at))
		}
		at = end
	}
	return dst
}
