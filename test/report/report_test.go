package main

import (
	"strings"
	"testing"
)

const mixed = `== t_device
1..3
ok 1 - opens
# SKIP one core only
ok 2 - races # SKIP
not ok 3 - closes (status 1)
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestA/x"}
{"Action":"output","Package":"p","Test":"TestA/x","Output":"    a_test.go:3: wrong\n"}
{"Action":"fail","Package":"p","Test":"TestA/x"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN   TestB\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:9: no IPv6 here\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"fail","Package":"p","Elapsed":1}
{"Action":"run","Package":"q","Test":"TestC"}
{"Action":"pass","Package":"q","Test":"TestC"}
{"Action":"pass","Package":"q","Elapsed":2}
{"Action":"fail","Package":"does/not/build"}
`

func TestReport(t *testing.T) {
	var out strings.Builder
	r := newReport(&out)
	if err := r.readAll(strings.NewReader(mixed)); err != nil {
		t.Fatal(err)
	}
	if r.finish() {
		t.Error("all well, though tests failed")
	}
	for _, want := range []string{
		"== t_device\n",
		"FAIL closes (status 1)\n",
		"FAIL p TestA/x\n    a_test.go:3: wrong\n",
		"FAIL does/not/build\n",
		"\nskipped:\n  races: one core only\n  p TestB: b_test.go:9: no IPv6 here\n",
		"\n2 passed, 3 failed, 2 skipped\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}

func TestNothingIsNoSuccess(t *testing.T) {
	var out strings.Builder
	if newReport(&out).finish() {
		t.Error("all well, though nothing ran")
	}
}
