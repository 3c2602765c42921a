package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// event is a line of `go test -json`.
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

type test struct{ pkg, name string }

// report counts and remembers.
type report struct {
	out             io.Writer
	passed, failed  int
	skipped         []string          // with reasons
	output          map[test][]string // of tests and packages (name "") that run
	parent, failing map[test]bool     // has subtests; one of them, or it, has failed
	reason          string            // TAP: why the next test is skipped
}

func newReport(out io.Writer) *report {
	return &report{out: out, output: map[test][]string{}, parent: map[test]bool{}, failing: map[test]bool{}}
}

func (r *report) line(line []byte) {
	var e event
	if bytes.HasPrefix(line, []byte("{")) && json.Unmarshal(line, &e) == nil && e.Action != "" {
		r.goEvent(e)
		return
	}
	if !r.tap(strings.TrimSpace(string(line))) {
		_, _ = r.out.Write(line)
	}
}

func (r *report) goEvent(e event) {
	t := test{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "run":
		if up := t.up(); up.name != "" {
			r.parent[up] = true
		}
	case "output":
		r.output[t] = append(r.output[t], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.packageEnds(t, e)
		} else {
			r.testEnds(t, e.Action)
		}
		delete(r.output, t)
	}
}

func (t test) up() test {
	i := strings.LastIndexByte(t.name, '/')
	if i < 0 {
		return test{}
	}
	return test{t.pkg, t.name[:i]}
}

func (r *report) testEnds(t test, how string) {
	switch {
	case how == "fail":
		if !r.failing[t] {
			r.failed++
			fmt.Fprintf(r.out, "FAIL %s %s\n%s", t.pkg, t.name, tail(r.output[t]))
		}
		r.failing[t.up()], r.failing[test{t.pkg, ""}] = true, true
	case r.parent[t]:
	case how == "skip":
		r.skip(t.pkg+" "+t.name, why(r.output[t]))
	default:
		r.passed++
	}
}

func (r *report) packageEnds(t test, e event) {
	if e.Action != "fail" {
		if e.Elapsed > 0 {
			fmt.Fprintf(r.out, "ok   %s %.1fs\n", t.pkg, e.Elapsed)
		}
		return
	}
	if !r.failing[t] { // it did not build, or died: no test says so
		r.failed++
	}
	fmt.Fprintf(r.out, "FAIL %s\n%s", t.pkg, tail(r.output[t]))
}

// shown is how many lines of a failure are printed: the last, which are about the end.
const shown = 100

func tail(lines []string) string {
	if n := len(lines) - shown; n > 0 {
		return fmt.Sprintf("(%d lines before)\n", n) + strings.Join(lines[n:], "")
	}
	return strings.Join(lines, "")
}

// why is what a skipped test said, without go test's own lines.
func why(output []string) string {
	var said []string
	for _, line := range output {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			said = append(said, line)
		}
	}
	return strings.Join(said, " ")
}

var tapLine = regexp.MustCompile(`^(not )?ok\b *\d* *-? *([^#]*)(# *SKIP *(.*))?`)

// tap takes a line of the Test Anything Protocol; a comment "# SKIP why" comes before the test it is about.
func (r *report) tap(line string) bool {
	if why, ok := strings.CutPrefix(line, "# SKIP "); ok {
		r.reason = why
		return true
	}
	m := tapLine.FindStringSubmatch(line)
	switch {
	case m == nil:
		return false
	case m[3] != "":
		r.skip(strings.TrimSpace(m[2]), strings.TrimSpace(m[4]+r.reason))
		r.reason = ""
	case m[1] != "":
		r.failed++
		fmt.Fprintln(r.out, "FAIL", m[2])
	default:
		r.passed++
	}
	return true
}

func (r *report) skip(name, why string) {
	if why == "" {
		why = "no reason given"
	}
	r.skipped = append(r.skipped, name+": "+why)
}

// finish prints the end and reports whether all is well.
func (r *report) finish() bool {
	if len(r.skipped) > 0 {
		fmt.Fprintf(r.out, "\nskipped:\n")
		for _, s := range r.skipped {
			fmt.Fprintf(r.out, "  %s\n", s)
		}
	}
	if r.passed+r.failed == 0 {
		r.failed++
		fmt.Fprintln(r.out, "FAIL no test ran")
	}
	fmt.Fprintf(r.out, "\n%d passed, %d failed, %d skipped\n", r.passed, r.failed, len(r.skipped))
	return r.failed == 0
}
