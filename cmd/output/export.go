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

	"cortex/cmd/app"
)

var auditColumns = []string{"number", "when", "who", "uid", "login_uid", "sudo_user", "tty", "program", "verb", "what", "words", "outcome", "ended", "changed", "reason", "fate", "plan_id", "position", "id"}

// cells returns the values of an attempt in the order of auditColumns.
func cells(e app.ChangeAttempt) []string {
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

// AuditJSON writes attempts as one JSON document.
func AuditJSON(w io.Writer, list []app.ChangeAttempt) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{"version": 1, "entries": list})
}

// AuditCSV writes attempts as RFC 4180 with a header. It puts an apostrophe before a value
// that a spreadsheet would evaluate as a formula.
func AuditCSV(w io.Writer, list []app.ChangeAttempt) error {
	c := csv.NewWriter(w)
	if err := c.Write(auditColumns); err != nil {
		return err
	}
	for _, e := range list {
		row := cells(e)
		for i, v := range row {
			if v != "" && strings.ContainsRune("=+-@\t\r", rune(v[0])) {
				row[i] = "'" + v
			}
		}
		if err := c.Write(row); err != nil {
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

// AuditHTML writes attempts as one self-contained page. note describes the selection.
func AuditHTML(w io.Writer, list []app.ChangeAttempt, title, note string) error {
	type row struct {
		Class string
		Cells []string
	}
	page, err := template.New("audit").Parse(auditPage)
	if err != nil {
		return err
	}
	rows := make([]row, len(list))
	for i, e := range list {
		rows[i] = row{string(e.Outcome), cells(e)}
	}
	return page.Execute(w, map[string]any{"Title": title, "Note": note, "Columns": auditColumns, "Rows": rows})
}
