package pcap

import "testing"

// BenchmarkMessage is what a worker pays for a message of 4 KiB while somebody captures.
func BenchmarkMessage(b *testing.B) {
	m := samples()[0]
	m.MTU, m.Length, m.Payload = 4096, 4096, pieces(make([]byte, 4096), 4096)
	var tap Tap
	r, err := tap.start(Filter{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(4096)
	for b.Loop() {
		tap.Message(&m)
		for s := r.next(); s != nil; s = r.next() {
			r.done(s)
		}
	}
}

// BenchmarkOff is what a worker pays for each message while nobody does.
func BenchmarkOff(b *testing.B) {
	var tap Tap
	for b.Loop() {
		if tap.Active() {
			b.Fatal("active")
		}
	}
}
