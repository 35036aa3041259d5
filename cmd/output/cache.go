package output

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"cortex/cmd/units"
	"cortex/projections/answers"
)

// MicroUSD formats an amount of millionths of a dollar, exactly.
func MicroUSD(n int64) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	return fmt.Sprintf("%s$%d.%06d", sign, n/1_000_000, n%1_000_000)
}

// stripControl removes characters from untrusted text that move a terminal's cursor or change
// the writing direction. Line breaks and tabs stay.
func stripControl(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			return -1
		}
		return r
	}, s)
}

// oneLine returns untrusted text as one line without control characters.
func oneLine(s string) string { return strings.Join(strings.Fields(stripControl(s)), " ") }

// CacheTotals prints the counters of the answer cache.
func CacheTotals(w io.Writer, t answers.Totals) {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	table(w, "", [][]string{
		{"answers", fmt.Sprintf("%d, %s of %s", t.Answers, units.Bytes(t.Bytes), units.Bytes(t.BytesMax))},
		{"stored", number(t.Stored)},
		{"used again", number(t.Uses)},
		{"saved", MicroUSD(t.Saved)},
		{"expired", number(t.Expired)},
		{"evicted", number(t.Evicted)},
		{"replaced", number(t.Replaced)},
		{"deleted", number(t.Forgotten)},
	})
}

// Answers prints cached answers, one per line.
func Answers(w io.Writer, list []answers.CachedAnswer, zone *time.Location) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No answers")
		return
	}
	rows := [][]string{{"ANSWER", "WHEN", "TASK", "MODEL", "USED", "QUESTION"}}
	for _, a := range list {
		rows = append(rows, []string{
			strconv.FormatUint(uint64(a.Position), 10), a.At.In(zone).Format(secondLayout), oneLine(a.Task), oneLine(a.Model),
			strconv.FormatInt(a.Uses, 10), shorten(oneLine(a.Question), 60),
		})
	}
	table(w, "", rows)
}

// Answer prints one cached answer with its keys.
func Answer(w io.Writer, a answers.CachedAnswer, zone *time.Location) {
	canon := a.CanonicalKey
	if canon == "" {
		canon = "none"
	}
	table(w, "", [][]string{
		{"answer", string(a.ID)},
		{"stored", a.At.In(zone).Format(secondLayout) + " by " + oneLine(a.Model)},
		{"expires", a.Expires.In(zone).Format(secondLayout)},
		{"task", oneLine(a.Task)},
		{"used again", strconv.FormatInt(a.Uses, 10)},
		{"cost", MicroUSD(a.Cost)},
		{"scope", a.Scope},
		{"exact key", a.ExactKey},
		{"canonical key", canon},
		{"question", oneLine(a.Question)},
	})
	fmt.Fprintf(w, "\n%s\n", stripControl(a.Answer))
}
