// Package doctor looks whether everything that Cortex needs is well.
//
// It promises: looking changes nothing and starts nothing; every finding that is not
// well says what it means and what mends it; a check that hangs is a finding, not a
// hang.
package doctor

import (
	"context"
	"slices"
	"time"
)

// checkTimeout bounds each check.
const checkTimeout = 20 * time.Second

// Severity says how something is.
type Severity string

// The ways something can be.
const (
	OK      Severity = "ok"
	Note    Severity = "note"    // works, and could be better
	Problem Severity = "problem" // something does not work, or will not for long
)

// Finding is what a check found.
type Finding struct {
	Check    string   `json:"check"`
	Severity Severity `json:"status"`
	Message  string   `json:"what"`
	Fix      string   `json:"fix,omitempty"` // a command or a deed; always there unless it is ok
}

// Check looks at one thing. It may find several.
type Check struct {
	Name string
	Run  func(ctx context.Context) []Finding
}

// OKFinding is what a check finds where all is well.
func OKFinding(what string) []Finding { return []Finding{{Severity: OK, Message: what}} }

// NoteFinding is a finding about something that could be better.
func NoteFinding(what, fix string) []Finding {
	return []Finding{{Severity: Note, Message: what, Fix: fix}}
}

// ProblemFinding is a finding about something that does not work.
func ProblemFinding(what, fix string) []Finding {
	return []Finding{{Severity: Problem, Message: what, Fix: fix}}
}

// RunChecks makes all checks at once and gives their findings in the checks' order.
func RunChecks(ctx context.Context, checks []Check) []Finding {
	found := make([]chan []Finding, len(checks))
	for i, c := range checks {
		found[i] = make(chan []Finding, 1)
		go func() {
			ctx, cancel := context.WithTimeout(ctx, checkTimeout)
			defer cancel()
			found[i] <- c.Run(ctx)
		}()
	}
	late := time.NewTimer(checkTimeout + time.Second)
	defer late.Stop()
	var out []Finding
	for i, c := range checks {
		var list []Finding
		select {
		case list = <-found[i]:
		case <-late.C:
			list = ProblemFinding("it did not answer in "+checkTimeout.String(), "try again; a disk or a server may hang")
			late.Reset(0)
		}
		for _, f := range list {
			f.Check = c.Name
			out = append(out, f)
		}
	}
	return out
}

// Healthy reports whether nothing is a problem.
func Healthy(list []Finding) bool {
	return !slices.ContainsFunc(list, func(f Finding) bool { return f.Severity == Problem })
}
