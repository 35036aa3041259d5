// Package doctor checks whether Cortex and the machine are in working order.
//
// It promises: a check changes nothing and starts nothing; each finding that is not ok
// describes the problem and the fix; a check that hangs becomes a finding after a
// timeout.
package doctor

import (
	"context"
	"slices"
	"time"
)

// checkTimeout bounds each check.
const checkTimeout = 20 * time.Second

// Severity is the severity of a finding.
type Severity string

// The severities.
const (
	OK      Severity = "ok"
	Note    Severity = "note"    // works, but needs attention
	Problem Severity = "problem" // does not work, or will soon fail
)

// Finding is a result of a check.
type Finding struct {
	Check    string   `json:"check"`
	Severity Severity `json:"status"`
	Message  string   `json:"what"`
	Fix      string   `json:"fix,omitempty"` // a command or an action; set unless the severity is ok
}

// Check examines one subject. It can return several findings.
type Check struct {
	Name string
	Run  func(ctx context.Context) []Finding
}

// OKFinding returns a finding of severity ok.
func OKFinding(message string) []Finding {
	return []Finding{{Severity: OK, Message: message}}
}

// NoteFinding returns a finding of severity note.
func NoteFinding(message, fix string) []Finding {
	return []Finding{{Severity: Note, Message: message, Fix: fix}}
}

// ProblemFinding returns a finding of severity problem.
func ProblemFinding(message, fix string) []Finding {
	return []Finding{{Severity: Problem, Message: message, Fix: fix}}
}

// RunChecks runs all checks concurrently and returns their findings in the order of the
// checks.
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
			list = ProblemFinding("the check did not end within "+checkTimeout.String(), "try again; a disk or a server may hang")
			late.Reset(0)
		}
		for _, f := range list {
			f.Check = c.Name
			out = append(out, f)
		}
	}
	return out
}

// Healthy reports whether the list has no problem.
func Healthy(list []Finding) bool {
	return !slices.ContainsFunc(list, func(f Finding) bool { return f.Severity == Problem })
}
