package doctor

import (
	"context"
	"fmt"
	"io"
)

// Level says how bad a finding is.
type Level int

// The levels: nothing is wrong; something is worse than it could be; FreeFlow does not work.
const (
	OK Level = iota
	Warning
	Missing
)

func (l Level) String() string { return [...]string{"ok", "warning", "MISSING"}[l] }

// Finding is the result of one check.
type Finding struct {
	Check  string
	Level  Level
	Detail string
	Advice string // what to do, where something is wrong
}

// Report is the results of all checks, in their order.
type Report []Finding

// Options say what to examine.
type Options struct {
	RunDir    string
	Program   string // a program to look at, or none
	Container string // the name of a running container, or none
}

// Examine runs the checks.
func Examine(ctx context.Context, o Options) Report {
	var r Report
	for _, check := range machineChecks {
		r = append(r, check())
	}
	r = append(r, checkRouter(ctx, o.RunDir))
	if o.Program != "" {
		r = append(r, checkProgram(o.Program)...)
	}
	if o.Container != "" {
		r = append(r, checkContainer(ctx, o.RunDir, o.Container)...)
	}
	return r
}

// Healthy says that nothing essential is missing.
func (r Report) Healthy() bool {
	for _, f := range r {
		if f.Level == Missing {
			return false
		}
	}
	return true
}

// Print writes the report, one line a check and one for each advice.
func (r Report) Print(w io.Writer) error {
	for _, f := range r {
		if _, err := fmt.Fprintf(w, "%-8s %-28s %s\n", f.Level, f.Check, f.Detail); err != nil {
			return fmt.Errorf("print report: %w", err)
		}
		if f.Level == OK || f.Advice == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%-8s %-28s → %s\n", "", "", f.Advice); err != nil {
			return fmt.Errorf("print report: %w", err)
		}
	}
	return nil
}

// verdict is OK if err is nil, else level with the advice.
func verdict(check string, err error, level Level, good, advice string) Finding {
	if err == nil {
		return Finding{Check: check, Detail: good}
	}
	return Finding{Check: check, Level: level, Detail: err.Error(), Advice: advice}
}
