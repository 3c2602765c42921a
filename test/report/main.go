// Report reads what tests print, `go test -json` and TAP mixed, on standard input, and prints what a person wants to know: what
// failed, with its output; what was skipped, and why; and last, alone on a line, how many passed, failed and were skipped.
// It exits with 1 if something failed.
//
// A test with subtests counts only if it fails and none of them does. Lines that are neither are passed on.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
)

func main() {
	r := newReport(os.Stdout)
	if err := r.readAll(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
	if !r.finish() {
		os.Exit(1)
	}
}

func (r *report) readAll(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
