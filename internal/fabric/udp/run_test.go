package udp

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// plan gives the runs of packets of these sizes to one destination, each as its packets and bytes.
func plan(sizes []int, vecs, maxSegments int) (runs []string) {
	dst := &Dest{}
	var r run
	say := func() {
		if r.packets > 0 {
			runs = append(runs, fmt.Sprintf("%d of %d, %d bytes", r.packets, r.size, r.bytes))
		}
	}
	for _, size := range sizes {
		if !r.take(dst, size, vecs, maxSegments) {
			say()
			r = begin(dst, size, 0)
		}
		r.vecs += vecs
	}
	say()
	return runs
}

func repeat(n, size int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = size
	}
	return s
}

func TestRunsFromSizes(t *testing.T) {
	for name, c := range map[string]struct {
		sizes       []int
		vecs, limit int
		want        []string
	}{
		"one":                       {sizes: []int{100}, want: []string{"1 of 100, 100 bytes"}},
		"equal":                     {sizes: repeat(5, 100), want: []string{"5 of 100, 500 bytes"}},
		"last shorter":              {sizes: []int{100, 100, 7}, want: []string{"3 of 100, 207 bytes"}},
		"nothing after the shorter": {sizes: []int{100, 7, 7}, want: []string{"2 of 100, 107 bytes", "1 of 7, 7 bytes"}},
		"longer needs another":      {sizes: []int{7, 100, 100}, want: []string{"1 of 7, 7 bytes", "2 of 100, 200 bytes"}},
		"WRITE: first has a RETH":   {sizes: []int{4180, 4164, 4164, 4164}, want: []string{"2 of 4180, 8344 bytes", "2 of 4164, 8328 bytes"}},
		"segments":                  {sizes: repeat(130, 10), want: []string{"64 of 10, 640 bytes", "64 of 10, 640 bytes", "2 of 10, 20 bytes"}},
		"no segmentation":           {sizes: repeat(2, 10), limit: 1, want: []string{"1 of 10, 10 bytes", "1 of 10, 10 bytes"}},
		"bytes":                     {sizes: repeat(16, 4164), want: []string{"15 of 4164, 62460 bytes", "1 of 4164, 4164 bytes"}},
		"all that fits":             {sizes: []int{32754, 32753, 1}, want: []string{"2 of 32754, 65507 bytes", "1 of 1, 1 bytes"}},
		"iovecs":                    {sizes: repeat(4, 10), vecs: 400, want: []string{"2 of 10, 20 bytes", "2 of 10, 20 bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.limit == 0 {
				c.limit = oldSegments
			}
			if got := plan(c.sizes, c.vecs, c.limit); fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("runs %v, want %v", got, c.want)
			}
		})
	}
}

func TestAnotherDestinationNeedsAnotherRun(t *testing.T) {
	a, b := &Dest{}, &Dest{}
	r := begin(a, 10, 0)
	if r.take(b, 10, 1, oldSegments) {
		t.Error("a run took a packet to another destination")
	}
	if !r.take(a, 10, 1, oldSegments) {
		t.Error("a run did not take a packet to its own destination")
	}
}

// Property: the packets of a run, cut out one by one, are the run's bytes.
func TestCut(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		var vecs []iovec
		var whole []byte
		for range 1 + random.IntN(8) {
			b := make([]byte, 1+random.IntN(50))
			for i := range b {
				b[i] = byte(random.Uint32())
			}
			vecs, whole = append(vecs, vecOf(b)), append(whole, b...)
		}
		r := run{size: 1 + random.IntN(len(whole)), bytes: len(whole)}
		r.packets = (r.bytes + r.size - 1) / r.size
		for i := range r.packets {
			from, to := r.packet(i)
			var got []byte
			for _, v := range cut(nil, vecs, from, to) {
				got = append(got, v.at()...)
			}
			if !bytes.Equal(got, whole[from:to]) {
				t.Fatalf("packet %d of %d, each of %d bytes: %x, want %x", i, r.packets, r.size, got, whole[from:to])
			}
		}
	}
}
