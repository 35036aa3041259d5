package output

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"cortex/cmd/logs"
	"cortex/cmd/units"
	"cortex/projections/history"
)

// Logs prints log records, one per line.
func Logs(w io.Writer, list []logs.Entry, zone *time.Location) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No matching log records")
	}
	for _, e := range list {
		when := strings.Repeat(" ", len(time.DateTime))
		if !e.Time.IsZero() {
			when = e.Time.In(zone).Format(time.DateTime)
		}
		line := fmt.Sprintf("%s  %-5s  %s", when, e.Level, e.Message)
		if e.Op != "" {
			line += "  op=" + e.Op
		}
		for _, k := range slices.Sorted(maps.Keys(e.Attrs)) {
			v := fmt.Sprint(e.Attrs[k])
			if strings.ContainsAny(v, " \"=") || v == "" {
				v = strconv.Quote(v)
			}
			line += "  " + k + "=" + v
		}
		fmt.Fprintln(w, line)
	}
}

// Failures prints each different error once.
func Failures(w io.Writer, list []logs.FailureGroup, zone *time.Location) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No errors")
		return
	}
	rows := [][]string{{"COUNT", "LAST", "ERROR", "OPERATION"}}
	for _, g := range list {
		rows = append(rows, []string{strconv.Itoa(g.Times), g.Last.In(zone).Format(time.DateTime), g.Message, g.Op})
	}
	table(w, "", rows)
}

// Timings prints how long transactions took.
func Timings(w io.Writer, list []history.Timing) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No transactions have run yet")
		return
	}
	rows := [][]string{{"VERB", "RUNS", "FAILED", "MEDIAN", "P95", "PER PACKAGE"}}
	ms := func(n int64) string { return units.Duration(time.Duration(n) * time.Millisecond) }
	for _, t := range list {
		rows = append(rows, []string{string(t.Verb), strconv.Itoa(t.Runs), strconv.Itoa(t.Failed), ms(t.MedianMs), ms(t.P95Ms), ms(t.MedianPerPackageMs)})
	}
	table(w, "", rows)
}
