package output_test

import (
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"cortex/cmd/app"
	"cortex/cmd/output"
	"cortex/events"
	"cortex/projections/history"
)

func sampleAttempt(words string) app.ChangeAttempt {
	return app.NewAttempt(history.TransactionRow{
		Number: 7, Verb: events.VerbInstall, State: events.StateDenied, Summary: "nginx", CommandLine: words,
		Actor: events.Actor{UID: 1000}, RequestedAt: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		Failure: &events.Failure{Subject: "essential", Message: "no"},
	})
}

func TestAuditCSVRoundTrip(t *testing.T) {
	var out strings.Builder
	if err := output.AuditCSV(&out, []app.ChangeAttempt{sampleAttempt("cortex install \"a\",\nb")}); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(out.String())).ReadAll()
	if err != nil || len(rows) != 2 || len(rows[0]) != len(rows[1]) {
		t.Fatalf("%v, %v", rows, err)
	}
	got := map[string]string{}
	for i, name := range rows[0] {
		got[name] = rows[1][i]
	}
	for name, want := range map[string]string{
		"number": "7", "who": "uid 1000", "when": "2026-11-23T12:00:00Z", "words": "cortex install \"a\",\nb",
		"outcome": "denied", "reason": "essential: no", "what": "nginx", "ended": "",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}

func TestAuditExportEscapesFormulasAndMarkup(t *testing.T) {
	evil := `=HYPERLINK("http://x")<script>alert(1)</script>`
	var table, page strings.Builder
	if err := output.AuditCSV(&table, []app.ChangeAttempt{sampleAttempt(evil)}); err != nil {
		t.Fatal(err)
	}
	if err := output.AuditHTML(&page, []app.ChangeAttempt{sampleAttempt(evil)}, "t", "n"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), `"'=HYPERLINK`) {
		t.Errorf("a formula: %s", table.String())
	}
	if strings.Contains(page.String(), "<script>") || !strings.Contains(page.String(), "&lt;script&gt;") {
		t.Errorf("markup: %s", page.String())
	}
}
