package output

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"cortex/cmd/units"
	"cortex/events"
	"cortex/projections/history"
)

const (
	minuteLayout = "2006-01-02 15:04"
	secondLayout = "2006-01-02 15:04:05"
)

// History prints transactions, newest last.
func History(w io.Writer, list []history.TransactionRow, zone *time.Location) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No transactions")
		return
	}
	rows := [][]string{{"ID", "WHEN", "WHO", "WHAT", "CHANGED", "STATE"}}
	for _, t := range slices.Backward(list) {
		rows = append(rows, []string{
			strconv.Itoa(t.Number), t.RequestedAt.In(zone).Format(minuteLayout), ActorName(t.Actor),
			shorten(TransactionTitle(t), 48), changedCount(t), StateText(t),
		})
	}
	table(w, "", rows)
}

// TransactionTitle returns the verb and the summary.
func TransactionTitle(t history.TransactionRow) string {
	return strings.TrimSpace(string(t.Verb) + " " + t.Summary)
}

func changedCount(t history.TransactionRow) string {
	if !t.State.Ran() {
		return "-"
	}
	return strconv.Itoa(t.PackagesChanged)
}

// StateText returns a transaction's state, and the undo or redo of it.
func StateText(t history.TransactionRow) string {
	s := string(t.State)
	if fate := t.CompensationSummary(); fate != "" {
		s += ", " + fate
		if !t.Exact {
			s += " (not exactly)"
		}
	}
	return s
}

// ActorName returns the name of an actor, with the user behind sudo if it is known.
func ActorName(a events.Actor) string {
	name := a.User
	if name == "" {
		name = strconv.Itoa(a.UID)
	}
	if a.SudoUser != "" && a.SudoUser != name {
		name = a.SudoUser + " as " + name
	}
	return name
}

// TransactionDetail prints one transaction in full.
func TransactionDetail(w io.Writer, d history.TransactionDetail, zone *time.Location) {
	fmt.Fprintf(w, "Transaction %d: %s\n", d.Number, TransactionTitle(d.TransactionRow))
	rows := [][]string{
		{"state", StateText(d.TransactionRow)},
		{"requested", d.RequestedAt.In(zone).Format(secondLayout) + " by " + ActorName(d.Actor) + terminalSuffix(d.Actor)},
	}
	if d.CommandLine != "" {
		rows = append(rows, []string{"command", d.CommandLine})
	}
	for _, c := range d.Chosen {
		rows = append(rows, []string{"chosen", fmt.Sprintf("%s for %q", joinNames(c.Names), c.Phrase)})
	}
	if d.Approval != nil {
		rows = append(rows, []string{"approved", d.Approval.At.In(zone).Format(secondLayout) + " by " + ActorName(d.Approval.Actor) + ", " + d.Approval.How})
	}
	if !d.StartedAt.IsZero() {
		rows = append(rows, []string{"started", d.StartedAt.In(zone).Format(secondLayout)})
	}
	if !d.EndedAt.IsZero() {
		rows = append(rows, []string{"ended", d.EndedAt.In(zone).Format(secondLayout)})
	}
	if d.PlanID != "" {
		rows = append(rows, []string{"plan", string(d.PlanID)})
	}
	rows = append(rows, []string{"uuid", string(d.ID)})
	table(w, "  ", rows)
	if d.Failure != nil && d.State != events.StateCancelled {
		fmt.Fprintf(w, "Reason: %s\n", d.Failure.AsError())
		if d.Failure.Hint != "" {
			fmt.Fprintf(w, "hint: %s\n", d.Failure.Hint)
		}
	}
	if d.State.Ran() {
		fmt.Fprintf(w, "Changed: %s\n", units.Count(len(d.PackageChanges), "package"))
		packageStates(w, d.PackageChanges)
		if len(d.FileChanges) > 0 {
			fmt.Fprintf(w, "Changed configuration: %s\n", units.Count(len(d.FileChanges), "path"))
			FileChanges(w, d.FileChanges)
		}
		SettingChanges(w, d.SettingChanges)
	} else if d.Plan != nil {
		Plan(w, d.Plan.Plan)
	}
	for _, r := range d.NotStored {
		fmt.Fprintf(w, "Not saved, and not available any more: %s\n", r)
	}
	for _, r := range d.Residue {
		fmt.Fprintf(w, "Not restored: %s\n", r)
	}
	for _, r := range d.Recovered {
		fmt.Fprintf(w, "Recovered: %s\n", r)
	}
	stepList(w, d.Steps)
}

func terminalSuffix(a events.Actor) string {
	if a.TTY != "" {
		return " on " + a.TTY
	}
	return ""
}

// packageStates prints each package's state before and after, in dpkg's terms.
func packageStates(w io.Writer, changes []events.PackageChange) {
	var rows [][]string
	for _, c := range changes {
		rows = append(rows, []string{ChangeVerb(c), string(c.Name) + ":" + string(c.Arch), c.Before.String(), "→", c.After.String()})
	}
	table(w, "  ", rows)
}

func stepList(w io.Writer, list []history.StepRow) {
	for _, s := range list {
		end := "interrupted"
		switch {
		case s.OK:
			end = "ok, " + units.Duration(time.Duration(s.DurationMs)*time.Millisecond)
		case !s.EndedAt.IsZero():
			end = fmt.Sprintf("failed with %d", s.ExitCode)
		}
		fmt.Fprintf(w, "Step %d: %s (%s)\n", s.Index+1, stepName(s), end)
		for line := range strings.Lines(strings.TrimSpace(s.Output)) {
			fmt.Fprintln(w, "  | "+strings.TrimRight(line, "\n"))
		}
	}
}

func stepName(s history.StepRow) string {
	if s.Op == events.OpRestore {
		return "restore files and settings"
	}
	return CommandLine(s.Argv)
}

// CommandLine returns an argument vector for people, without the options of every run.
func CommandLine(argv []string) string {
	var out []string
	for i := 0; i < len(argv); i++ {
		switch a := argv[i]; {
		case a == "-o":
			i++
		case a == "-y", a == "-q", a == "--":
		default:
			out = append(out, a)
		}
	}
	return strings.Join(out, " ")
}

// EventLine prints one event on one line.
func EventLine(w io.Writer, r events.Record, zone *time.Location) {
	about := ""
	if r.Transaction != "" {
		about = string(r.Transaction)[len(r.Transaction)-8:]
	}
	fmt.Fprintf(w, "%6d  %s  %-30s  %-8s  %s\n", r.Position, r.Time.In(zone).Format(secondLayout), r.Kind, about, eventSummary(r))
}

// eventSummary describes the data of an event in one line: what this version of Cortex
// knows of it, and what it does not know.
func eventSummary(r events.Record) string {
	f, err := events.Decode(r.Event)
	if err != nil {
		return "unreadable"
	}
	if u, ok := f.(*events.UnknownFact); ok {
		return "unknown kind" + writtenBy(r) + ": " + events.SanitizeLine(string(u.Data), maxUnknownBytes)
	}
	summary := factSummary(f)
	if field := events.UnknownField(r.Event); field != "" {
		summary += " (unknown field " + events.SanitizeLine(field, maxUnknownBytes) + writtenBy(r) + ")"
	}
	return summary
}

// maxUnknownBytes bounds the unknown data that one line shows; 'cortex events show'
// prints all of them.
const maxUnknownBytes = 80

// writtenBy names the version of Cortex that wrote the event, when the event has it.
func writtenBy(r events.Record) string {
	if r.CortexVersion == "" {
		return ""
	}
	return ", written by Cortex " + r.CortexVersion
}

// factSummary is the most important part of a fact.
func factSummary(f events.Fact) string {
	switch f := f.(type) {
	case *events.Requested:
		return f.CommandLine
	case *events.Planned:
		return "plan " + string(f.PlanID) + ": " + PlanSummary(f.Plan)
	case *events.Refused:
		return f.Failure.AsError().Error()
	case *events.Approved:
		return "plan " + string(f.PlanID) + ", " + f.How
	case *events.Denied:
		return f.Message
	case *events.Cancelled:
		return f.Reason
	case *events.StepStarted:
		return CommandLine(f.Argv)
	case *events.StepFailed:
		return f.Failure.AsError().Error()
	case *events.Succeeded, *events.Failed, *events.Interrupted, *events.DriftDetected:
		return units.Count(len(events.ChangesOf(f)), "package") + " changed"
	case *events.BaselineRecorded:
		return units.Count(len(f.Packages), "package") + " recorded"
	case *events.Compensated:
		if f.Exact {
			return "exactly"
		}
		return fmt.Sprintf("not exactly: %d not restored", len(f.Residue))
	case *events.SnapshotTaken:
		return "snapshot taken, " + units.Count(len(f.Debs), "package file") + " saved"
	case *events.Observed:
		return f.Command
	case *events.DeadLettered:
		return "failed event (dead letter) of the " + f.Handler + ": " + f.Failure.Message
	case *events.LogOpened:
		return f.Machine
	case *events.IndexesRefreshed:
		return f.Reason
	case *events.GarbageCollected:
		return units.Count(f.ContentsRemoved, "content") + " removed, " + units.Bytes(f.BytesFreed)
	case *events.AnswersForgotten:
		if f.All {
			return "all"
		}
		return units.Count(len(f.Answers), "answer")
	case *events.LLMRequested:
		return string(f.Task) + ": " + f.Question
	case *events.LLMCompleted:
		if f.Cache != "" {
			return "from the cache: " + f.Question
		}
		return f.Provider + " " + f.Model + ", " + MicroUSD(f.Cost)
	case *events.LLMFailed:
		return f.Class + ": " + f.Reason
	case *events.LLMDenied:
		return f.Reason
	case *events.LLMModeChanged:
		return string(f.To) + ": " + f.Reason
	case *events.HardwareSnapshot:
		return units.Count(len(f.Facts), "fact") + ", " + string(f.Reason)
	case *events.HardwareChanged:
		return units.Count(len(f.Changes), "fact") + " changed"
	case *events.LimitProfileSet:
		return f.Name
	case *events.LimitsApplied:
		return f.Profile + " on " + f.Target + " by " + f.Backend + ", " + f.Unit
	case *events.LimitsReverted:
		return f.Unit + ", " + f.Reason
	case *events.LimitsRefused:
		return f.Unit + ": " + f.Message
	case *events.TreeHeadSigned:
		return units.Count(int(f.Size), "event") + ", root " + events.Tail(f.Root, 16)
	case *events.PreferenceStated:
		return "by uid " + strconv.Itoa(f.UID) + ", encrypted"
	case *events.MemoryForgotten:
		if f.All {
			return "all of uid " + strconv.Itoa(f.UID)
		}
		return strings.Join(f.Entries, " ")
	case *events.SuggestionDismissed:
		return f.Suggestion
	case *events.Started, *events.StepSucceeded, *events.DeadLetterRetried, *events.UnknownFact:
	}
	return ""
}

func joinNames(list []events.PackageName) string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = string(n)
	}
	return strings.Join(out, ", ")
}
