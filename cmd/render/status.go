package render

import (
	"fmt"
	"io"
	"strings"
	"time"

	"cortex/cmd/door"
)

// Status shows how the daemon is.
func Status(w io.Writer, s door.Status) {
	doing := "idle"
	if s.Running {
		doing = "a transaction is running"
	}
	rows := [][]string{
		{"daemon", fmt.Sprintf("process %d, %s, %s", s.PID, s.Build, doing)},
		{"state", s.State},
		{"host", string(s.Host)},
		{"log", fmt.Sprintf("%s, %s; %s free", Count(int(s.Head), "event"), Bytes(int64(s.LogBytes)), Bytes(int64(s.FreeBytes)))},
	}
	if s.Servers != "" {
		rows = append(rows, []string{"kept by", s.Servers})
	}
	if s.Listening != "" {
		rows = append(rows, []string{"tells", "NATS clients at " + s.Listening})
	}
	if !s.Writable {
		rows = append(rows, []string{"PROBLEM", s.Problem})
	}
	for _, p := range s.Projections {
		state := "up to date"
		if p.Lag > 0 {
			state = Count(int(p.Lag), "event") + " behind"
		}
		if p.Problem != "" {
			state = "PROBLEM: " + p.Problem
		}
		rows = append(rows, []string{p.Name, fmt.Sprintf("at event %d, %s", p.Position, state)})
	}
	for _, p := range s.Parked {
		rows = append(rows, []string{"parked", fmt.Sprintf("%s of %s: %s", p.Of, p.Handler, p.Failure.AsError())})
		rows = append(rows, []string{"", "cortex events retry " + string(p.ID)})
	}
	table(w, "", rows)
}

// Replayed shows what a replay did.
func Replayed(w io.Writer, done []door.Replayed) {
	for _, d := range done {
		what := "rebuilt from"
		if d.Verified {
			what = "compared with a rebuild from"
		}
		fmt.Fprintf(w, "%s: %s %s in %s\n", d.Projection, what, Count(d.Events, "event"), Duration(time.Duration(d.DurationMs)*time.Millisecond))
		if d.Verified && len(d.Differences) == 0 {
			fmt.Fprintln(w, "  no difference")
		}
		for _, diff := range d.Differences {
			fmt.Fprintln(w, "  "+strings.ReplaceAll(diff, "\n", "\n  "))
		}
	}
}
