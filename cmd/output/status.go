package output

import (
	"fmt"
	"io"
	"strings"
	"time"

	"cortex/cmd/api"
	"cortex/cmd/app"
	"cortex/cmd/units"
)

// Status prints the state of this installation.
func Status(w io.Writer, s app.InstallationStatus) {
	if s.Daemon != nil {
		daemonStatus(w, *s.Daemon)
		return
	}
	rows := [][]string{
		{"daemon", "not running; it starts when a command needs it"},
		{"state", s.StateDir},
	}
	if !s.HasHistory {
		rows = append(rows, []string{"history", "none yet"})
	}
	table(w, "", rows)
}

func daemonStatus(w io.Writer, s api.DaemonStatus) {
	activity := "idle"
	if s.TransactionRunning {
		activity = "a transaction is running"
	}
	rows := [][]string{
		{"daemon", fmt.Sprintf("process %d, %s, %s", s.PID, s.Build, activity)},
		{"state", s.StateDir},
		{"host", string(s.Host)},
		{"log", fmt.Sprintf("%s, %s; %s free", units.Count(int(s.Head), "event"), units.Bytes(int64(s.LogBytes)), units.Bytes(int64(s.FreeBytes)))},
	}
	if s.NATSServers != "" {
		rows = append(rows, []string{"log servers", s.NATSServers})
	}
	if s.NATSListen != "" {
		rows = append(rows, []string{"NATS clients", "accepted at " + s.NATSListen})
	}
	if !s.Writable {
		rows = append(rows, []string{"PROBLEM", s.Problem})
	}
	for _, p := range s.Projections {
		state := "up to date"
		if p.Lag > 0 {
			state = units.Count(int(p.Lag), "event") + " behind"
		}
		if p.Problem != "" {
			state = "PROBLEM: " + p.Problem
		}
		rows = append(rows, []string{p.Name, fmt.Sprintf("at event %d, %s", p.Position, state)})
	}
	for _, p := range s.DeadLetters {
		rows = append(rows,
			[]string{"failed event", fmt.Sprintf("%s (dead letter of the %s): %s", p.EventKind, p.Handler, p.Failure.AsError())},
			[]string{"", "to retry: cortex events retry " + string(p.ID)})
	}
	table(w, "", rows)
}

// ReplayResults prints the results of a replay.
func ReplayResults(w io.Writer, done []api.ReplayResult) {
	for _, d := range done {
		action := "rebuilt from"
		if d.Verified {
			action = "compared with a rebuild from"
		}
		fmt.Fprintf(w, "%s: %s %s in %s\n", d.Projection, action, units.Count(d.Events, "event"), units.Duration(time.Duration(d.DurationMs)*time.Millisecond))
		if d.Verified && len(d.Differences) == 0 {
			fmt.Fprintln(w, "  no difference")
		}
		for _, diff := range d.Differences {
			fmt.Fprintln(w, "  "+strings.ReplaceAll(diff, "\n", "\n  "))
		}
	}
}
