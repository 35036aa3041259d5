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

// patience bounds each check.
const patience = 20 * time.Second

// Status says how something is.
type Status string

// The ways something can be.
const (
	OK      Status = "ok"
	Note    Status = "note"    // works, and could be better
	Problem Status = "problem" // something does not work, or will not for long
)

// Finding is what a check found.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	What   string `json:"what"`
	Fix    string `json:"fix,omitempty"` // a command or a deed; always there unless it is ok
}

// Check looks at one thing. It may find several.
type Check struct {
	Name string
	Look func(ctx context.Context) []Finding
}

// Fine is what a check finds where all is well.
func Fine(what string) []Finding { return []Finding{{Status: OK, What: what}} }

// Could is a finding about something that could be better.
func Could(what, fix string) []Finding { return []Finding{{Status: Note, What: what, Fix: fix}} }

// Wrong is a finding about something that does not work.
func Wrong(what, fix string) []Finding { return []Finding{{Status: Problem, What: what, Fix: fix}} }

// Examine makes all checks at once and gives their findings in the checks' order.
func Examine(ctx context.Context, checks []Check) []Finding {
	found := make([]chan []Finding, len(checks))
	for i, c := range checks {
		found[i] = make(chan []Finding, 1)
		go func() {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			found[i] <- c.Look(ctx)
		}()
	}
	late := time.NewTimer(patience + time.Second)
	defer late.Stop()
	var out []Finding
	for i, c := range checks {
		var list []Finding
		select {
		case list = <-found[i]:
		case <-late.C:
			list = Wrong("it did not answer in "+patience.String(), "try again; a disk or a server may hang")
			late.Reset(0)
		}
		for _, f := range list {
			f.Check = c.Name
			out = append(out, f)
		}
	}
	return out
}

// Well reports whether nothing is a problem.
func Well(list []Finding) bool {
	return !slices.ContainsFunc(list, func(f Finding) bool { return f.Status == Problem })
}
