// Package relay is a bad wire between two hosts, for tests and benchmarks: it loses, reorders, duplicates and
// corrupts packets at given rates, the same ones each time for a seed and a sequence of packets. (The
// kernel's own means, tc netem, is a module that many kernels lack.)
//
//	host a's namespace                 test process               host b's namespace
//	 eth0 (tap) ── descriptor ── [ mangler a→b, mangler b→a ] ── descriptor ── (tap) eth0
//
// The links are tap devices: the relay reads what a host sends, whole packets with their checksums done and
// segments cut, since a tap offers no offloads, and writes it to the other host, which handles it on the
// thread that writes. What the relay cannot keep up with waits in the tap's queue; what does not fit
// there is lost too, and the kernel counts it (tx_dropped of the link).
//
// A mangler, which decides, is pure: frames in, frames out. The rest is descriptors and goroutines, which end
// with the test.
package relay
