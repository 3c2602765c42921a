package wire

// PSN is a packet sequence number: 24 bits, which wrap (9.2.1). The upper 8 bits are always zero in a PSN that this package made;
// Add makes one from any number.
type PSN uint32

// PSNMask has the bits that a PSN consists of.
const PSNMask PSN = 1<<24 - 1

// Add returns the PSN n packets after p, or before it if n is negative.
func (p PSN) Add(n int) PSN { return (p + PSN(n)) & PSNMask }

// Diff returns how many packets p is after q: negative if p is before q, from -2^23 to 2^23-1. PSNs exactly half the range
// apart give -2^23 both ways.
func (p PSN) Diff(q PSN) int32 { return int32(p-q) << 8 >> 8 }

// Less says whether p comes before q.
func (p PSN) Less(q PSN) bool { return p.Diff(q) < 0 }
