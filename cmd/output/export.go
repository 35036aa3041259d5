package output

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
	"time"

	"cortex/events"
	"cortex/projections/history"
)

// AuditEntry is one attempt to change the machine, in the flat form that exports
// have: who, what, when, and what became of it.
type AuditEntry struct {
	Number       int                     `json:"number"`
	ID           events.TransactionID    `json:"id"`
	RequestedAt  time.Time               `json:"when"` // UTC
	User         string                  `json:"who"`
	UID          int                     `json:"uid"`
	LoginUID     int                     `json:"login_uid,omitempty"`
	SudoUser     string                  `json:"sudo_user,omitempty"`
	TTY          string                  `json:"tty,omitempty"`
	Program      string                  `json:"program,omitempty"`
	Verb         events.Verb             `json:"verb"`
	Summary      string                  `json:"what"`
	CommandLine  string                  `json:"words,omitempty"`
	Outcome      events.TransactionState `json:"outcome"`
	Ended        time.Time               `json:"ended,omitzero"`
	Changed      int                     `json:"changed"` // packages
	Reason       string                  `json:"reason,omitempty"`
	Compensation string                  `json:"fate,omitempty"` // "undone by 7, …"
	Plan         events.PlanID           `json:"plan_id,omitempty"`
	Position     events.Position         `json:"position,omitempty"` // of the fact that tells the outcome
}

// NewAuditEntry flattens a transaction.
func NewAuditEntry(t history.TransactionRow) AuditEntry {
	e := AuditEntry{
		Number: t.Number, ID: t.ID, RequestedAt: t.RequestedAt, User: t.Actor.User, UID: t.Actor.UID, LoginUID: t.Actor.LoginUID,
		SudoUser: t.Actor.SudoUser, TTY: t.Actor.TTY, Program: t.Actor.Program, Verb: t.Verb, Summary: t.Summary, CommandLine: t.CommandLine,
		Outcome: t.State, Ended: t.EndedAt, Changed: t.PackagesChanged, Compensation: t.CompensationSummary(), Plan: t.PlanID, Position: t.EndedPosition,
	}
	if e.User == "" {
		e.User = "uid " + strconv.Itoa(t.Actor.UID)
	}
	if t.Failure != nil {
		e.Reason = strings.TrimPrefix(t.Failure.Subject+": "+t.Failure.Message, ": ")
	}
	return e
}

var auditColumns = []string{"number", "when", "who", "uid", "login_uid", "sudo_user", "tty", "program", "verb", "what", "words", "outcome", "ended", "changed", "reason", "fate", "plan_id", "position", "id"}

// cells are an entry's values in the order of auditColumns.
func (e AuditEntry) cells() []string {
	stamp := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	position := ""
	if e.Position > 0 {
		position = fmt.Sprint(e.Position)
	}
	return []string{
		strconv.Itoa(e.Number), stamp(e.RequestedAt), e.User, strconv.Itoa(e.UID), strconv.Itoa(e.LoginUID), e.SudoUser, e.TTY, e.Program,
		string(e.Verb), e.Summary, e.CommandLine, string(e.Outcome), stamp(e.Ended), strconv.Itoa(e.Changed), e.Reason, e.Compensation,
		string(e.Plan), position, string(e.ID),
	}
}

// AuditJSON writes entries as one JSON document.
func AuditJSON(w io.Writer, entries []AuditEntry) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{"version": 1, "entries": entries})
}

// AuditCSV writes entries as RFC 4180 with a line of names. A value that a
// spreadsheet would take for a formula gets an apostrophe before it.
func AuditCSV(w io.Writer, entries []AuditEntry) error {
	c := csv.NewWriter(w)
	if err := c.Write(auditColumns); err != nil {
		return err
	}
	for _, e := range entries {
		cells := e.cells()
		for i, v := range cells {
			if v != "" && strings.ContainsRune("=+-@\t\r", rune(v[0])) {
				cells[i] = "'" + v
			}
		}
		if err := c.Write(cells); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

const auditPage = `<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>{{.Title}}</title>
<style>
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em }
table { border-collapse: collapse }
th, td { border: 1px solid #ccc; padding: .2em .5em; text-align: left; vertical-align: top }
th { background: #eee }
tr.denied, tr.refused, tr.failed, tr.interrupted { background: #fdecea }
</style>
<h1>{{.Title}}</h1>
<p>{{.Note}}</p>
<table>
<tr>{{range .Columns}}<th>{{.}}</th>{{end}}</tr>
{{range .Rows}}<tr class="{{.Class}}">{{range .Cells}}<td>{{.}}</td>{{end}}</tr>
{{end}}</table>
</html>
`

// AuditHTML writes entries as a page that needs nothing else; note says what was
// selected.
func AuditHTML(w io.Writer, entries []AuditEntry, title, note string) error {
	type row struct {
		Class string
		Cells []string
	}
	page, err := template.New("audit").Parse(auditPage)
	if err != nil {
		return err
	}
	rows := make([]row, len(entries))
	for i, e := range entries {
		rows[i] = row{string(e.Outcome), e.cells()}
	}
	return page.Execute(w, map[string]any{"Title": title, "Note": note, "Columns": auditColumns, "Rows": rows})
}
