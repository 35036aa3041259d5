package output

import (
	"fmt"
	"io"
	"strings"
	"time"

	"cortex/cmd/api"
)

// Status shows how the daemon is.
func Status(w io.Writer, s api.DaemonStatus) {
	doing := "idle"
	if s.TransactionRunning {
		doing = "a transaction is running"
	}
	rows := [][]string{
		{"daemon", fmt.Sprintf("process %d, %s, %s", s.PID, s.Build, doing)},
		{"state", s.StateDir},
		{"host", string(s.Host)},
		{"log", fmt.Sprintf("%s, %s; %s free", Count(int(s.Head), "event"), Bytes(int64(s.LogBytes)), Bytes(int64(s.FreeBytes)))},
	}
	if s.NATSServers != "" {
		rows = append(rows, []string{"kept by", s.NATSServers})
	}
	if s.NATSListen != "" {
		rows = append(rows, []string{"tells", "NATS clients at " + s.NATSListen})
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
	for _, p := range s.DeadLetters {
		rows = append(rows, []string{"parked", fmt.Sprintf("%s of %s: %s", p.EventKind, p.Handler, p.Failure.AsError())})
		rows = append(rows, []string{"", "cortex events retry " + string(p.ID)})
	}
	table(w, "", rows)
}

// ReplayResults shows what a replay did.
func ReplayResults(w io.Writer, done []api.ReplayResult) {
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
