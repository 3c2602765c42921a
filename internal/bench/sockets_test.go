package bench

import "testing"

func TestParseIperf2(t *testing.T) {
	v, err := parseIperf2("20261121194531,10.77.9.6,57268,10.77.9.5,5001,1,0.0-2.0,7578058752,30287412345\n")
	if err != nil || v != 30287412345 {
		t.Errorf("%v, %v", v, err)
	}
	if v, err := parseIperf2("connect failed: Connection refused\n"); err == nil {
		t.Errorf("of no result: %v", v)
	}
}

func TestParseNetpipe(t *testing.T) {
	v, err := parseNetpipe("       2 3.329865   0.00000458\n")
	if err != nil || v < 4.57 || v > 4.59 {
		t.Errorf("%v, %v", v, err)
	}
	for _, text := range []string{"", "2 inf 0.0\n", "2 3.3\n"} {
		if v, err := parseNetpipe(text); err == nil {
			t.Errorf("of %q: %v", text, v)
		}
	}
}
