package bench

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const bwText = `
---------------------------------------------------------------------------------------
 #bytes     #iterations    BW peak[MB/sec]    BW average[MB/sec]   MsgRate[Mpps]
 2          1000             3.65               0.40   		   0.211811
 8388608    1000             37411.85            24072.00		   0.003009
---------------------------------------------------------------------------------------
`

func TestParseBandwidth(t *testing.T) {
	got, err := parseBandwidth(bwText)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[1] != (Bandwidth{8388608, 24072 * 1048576 * 8, 3009}) {
		t.Errorf("got %v", got)
	}
	bits := strings.ReplaceAll(bwText, "[MB/sec]", "[Gb/sec]")
	if got, err = parseBandwidth(bits); err != nil || got[1].Average != 24072e9 {
		t.Errorf("with --report_gbits: %v, %v", got, err)
	}
}

func TestParseLatency(t *testing.T) {
	const text = ` local address: LID 0000 QPN 0x0010 PSN 0x958f08
 #bytes #iterations    t_min[usec]    t_max[usec]  t_typical[usec]    t_avg[usec]    t_stdev[usec]   99% percentile[usec]   99.9% percentile[usec]
 2       1000          3.72           35.82        4.34     	       5.73        	3.14   		19.08   		35.82
`
	got, err := oneLine(parseLatency(text))
	if want := (Latency{2, 3.72, 35.82, 4.34, 5.73, 19.08, 35.82}); err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestParseLatencyWithoutDeviation(t *testing.T) {
	const text = " #bytes #iterations ...\n 65536   5000          64.88          108231.25      124.23   \t       383.28      \t-nan   \t\t2979.46 \t\t49350.03\n"
	got, err := oneLine(parseLatency(text))
	if want := (Latency{65536, 64.88, 108231.25, 124.23, 383.28, 2979.46, 49350.03}); err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestNoResultsIsAnError(t *testing.T) {
	for _, text := range []string{"", "1 2 3 4 5\n", "Couldn't connect to 10.77.0.2:18515\n", " #bytes\n nothing\n"} {
		if got, err := parseBandwidth(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
	if _, err := oneLine(parseBandwidth(bwText)); err == nil {
		t.Error("two lines taken for one")
	}
}

func TestParseQperf(t *testing.T) {
	for text, want := range map[string]float64{
		"tcp_lat:\n    latency  =  24510 ns\n":              24510e-9,
		"tcp_lat:\n    latency  =  9.43 us\n":               9.43e-6,
		"tcp_bw:\n    bw  =  1,633,288,192 bytes/sec\n":     1633288192,
		"tcp_bw:\n    bw              =  2.5 GB/sec\n    x": 2.5e9,
	} {
		if got, err := parseQperf(text); err != nil || math.Abs(got/want-1) > 1e-9 {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	if got, err := parseQperf("failed to connect\n"); err == nil {
		t.Errorf("got %v from nothing", got)
	}
}

func TestParseIperf(t *testing.T) {
	got, err := parseIperf(`{"end": {"sum_received": {"bits_per_second": 1.5e10}, "sender_tcp_congestion": "cubic"}}`)
	if err != nil || got != (Iperf{1.5e10, "cubic"}) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parseIperf(`{"error": "unable to connect to server", "end": {}}`); err == nil || !strings.Contains(err.Error(), "unable") {
		t.Errorf("got %v", err)
	}
}

func TestParseStat(t *testing.T) {
	if got := parseStat("7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 1 0 100"); got != 2 {
		t.Errorf("got %v s, want 2", got)
	}
	if got := parseStat(""); got != 0 {
		t.Errorf("got %v s of a process that is gone", got)
	}
}

func TestMedianAndJain(t *testing.T) {
	if got := (Sample{3, 1, 2}).Median(); got != 2 {
		t.Errorf("median %v", got)
	}
	if got := (Sample{4, 1, 2, 3}).Median(); got != 2.5 {
		t.Errorf("median of four %v", got)
	}
	if got := (Sample{}).Median(); got != 0 {
		t.Errorf("median of nothing %v", got)
	}
	if got := Jain([]float64{5, 5, 5, 5}); got != 1 {
		t.Errorf("equal shares: %v", got)
	}
	if got := Jain([]float64{5, 0, 0, 0}); got != 0.25 {
		t.Errorf("one has all: %v", got)
	}
	if got := Jain([]float64{0, 0}); got != 0 {
		t.Errorf("nobody has anything: %v", got)
	}
}

func TestQuoted(t *testing.T) {
	if got := quoted([]string{"a b", "it's", "$x"}); got != `'a b' 'it'\''s' '$x'` {
		t.Error(got)
	}
}

func TestAddressesDiffer(t *testing.T) {
	var w World
	seen := map[string]bool{}
	for range 1000 {
		ip := w.nextIP().String()
		if seen[ip] {
			t.Fatalf("%s twice", ip)
		}
		seen[ip] = true
	}
	if seen["10.77.0.1"] || seen["10.77.0.0"] {
		t.Error("an address that is the network's")
	}
	there := World{first: 4 << 8}
	if ip := there.nextIP().String(); seen[ip] {
		t.Errorf("%s on two hosts", ip)
	}
}

func TestFigure(t *testing.T) {
	f := Figure{Name: "f", Title: "F", XName: "message", X: inBytes, YName: "µs", Y: oneDigit}
	for _, y := range []float64{3, 1, 2} {
		f.Add("SEND", 2, y)
		f.Add("SEND", 1<<20, 10*y)
	}
	f.Add("TCP", 2, 7)
	var out bytes.Buffer
	if err := f.Print(&out); err != nil {
		t.Fatal(err)
	}
	if want := "\nF (µs)\n\nmessage  SEND  TCP\n───────  ────  ───\n    2 B   2.0  7.0\n  1 MiB  20.0  -\n"; out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	dir := t.TempDir()
	if err := f.Write(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "f.csv"))
	want := "series,x,median,min,max,runs,x_label\nSEND,2,2,1,3,3,2 B\nSEND,1.04858e+06,20,10,30,3,1 MiB\nTCP,2,7,7,7,1,2 B\n"
	if err != nil || string(text) != want {
		t.Errorf("got %s, %v", text, err)
	}
}

func TestBars(t *testing.T) {
	var out bytes.Buffer
	a := acceptance{o: Options{Runs: 3, Out: &out}}
	for _, v := range []float64{3, 9, 4} {
		a.atMost("latency", 4, v, "µs")
	}
	if err := a.print(); err != nil || !strings.Contains(out.String(), "PASS") {
		t.Errorf("median 4 of at most 4: %v\n%s", err, out.String())
	}
	a.add(bar{what: "the end", kind: goal, limit: 40, unit: "Gbit/s"}, 39)
	a.show("beside it", 14.6, "Gbit/s")
	if err := a.print(); err != nil || !strings.Contains(out.String(), "goal ≥ 40 Gbit/s  39.0 Gbit/s") || !strings.Contains(out.String(), "not yet") {
		t.Errorf("a goal that is not reached: %v\n%s", err, out.String())
	}
	a.atLeast("ratio", 6, 5.9, "×")
	if err := a.print(); err == nil || !strings.Contains(out.String(), "FAIL") {
		t.Errorf("5.9 of at least 6: %v\n%s", err, out.String())
	}
}

func TestSectionsAndFigures(t *testing.T) {
	for _, names := range [][]string{SectionNames(), FigureNames()} {
		sorted := slices.Sorted(slices.Values(names))
		if !slices.Contains(names, "hosts") || len(slices.Compact(sorted)) != len(names) {
			t.Errorf("no hosts, or a name twice: %v", names)
		}
	}
	if o := (Options{}); !o.wants("hosts") {
		t.Error("nothing asked for is everything")
	}
	if o := (Options{Figures: []string{"idle"}}); o.wants("hosts") || !o.wants("idle") {
		t.Error("something else than what was asked for")
	}
	if err := Accept(t.Context(), Options{Figures: []string{"nonsense"}}); err == nil || !strings.Contains(err.Error(), "hosts") {
		t.Errorf("a section that is not there: %v", err)
	}
}
