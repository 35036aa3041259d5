package output

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"cortex/events"
	"cortex/projections/usage"
)

// descriptionWidth is how much of a description is shown beside a candidate.
const descriptionWidth = 60

// Candidates shows what words may mean, with numbers to choose by.
func Candidates(w io.Writer, needs []events.Need) {
	for _, n := range needs {
		fmt.Fprintf(w, "%s:\n", n.Phrase)
		width := 0
		for _, c := range n.Candidates {
			width = max(width, len(c.Name))
		}
		for i, c := range n.Candidates {
			fmt.Fprintf(w, "  %d  %-*s  %s\n", i+1, width, c.Name, shorten(c.Description, descriptionWidth))
			fmt.Fprintf(w, "     %-*s  %s (%.2f)\n", width, "", strings.Join(c.Reasons, "; "), c.Score)
		}
	}
}

// Usage shows what models were asked, by day.
func Usage(w io.Writer, r usage.Report) {
	rows := [][]string{{"DAY", "PROVIDER", "MODEL", "ANSWERED", "FAILED", "TOKENS IN", "OUT", "COST", "MEAN"}}
	for _, l := range r.ModelDays {
		cost := MicroUSD(l.Cost)
		if l.Unpriced > 0 {
			cost += fmt.Sprintf(" + %d unpriced", l.Unpriced)
		}
		rows = append(rows, []string{
			l.Day, l.Provider, l.Model, strconv.Itoa(l.Answered), strconv.Itoa(l.Failed), strconv.FormatInt(l.Input, 10), strconv.FormatInt(l.Output, 10),
			cost, Duration(time.Duration(l.LatencyMs) * time.Millisecond),
		})
	}
	if len(r.ModelDays) > 0 {
		table(w, "", rows)
	}
	fmt.Fprintf(w, "%s for %s, %s from the cache, %d failed, %d denied by the budget\n", MicroUSD(r.Cost), Count(r.Answered, "answer"), Count(r.Cached, "answer"), r.Failed, r.Denied)
}

// Table writes rows with aligned columns.
func Table(w io.Writer, rows [][]string) { table(w, "", rows) }
