package output

import (
	"fmt"
	"io"
	"time"

	"cortex/projections/memory"
)

// Memories prints remembered items, one per line.
func Memories(w io.Writer, list []memory.RememberedItem, zone *time.Location) {
	if len(list) == 0 {
		fmt.Fprintln(w, "Nothing is remembered")
		return
	}
	rows := [][]string{{"NAME", "KIND", "WHEN", "CONFIDENCE", "TEXT"}}
	for _, e := range list {
		rows = append(rows, []string{e.Name, string(e.Kind), e.At.In(zone).Format(minuteLayout), confidenceText(e), shorten(memoryText(e), 100)})
	}
	table(w, "", rows)
}

// Memory prints one item with the events that it is based on.
func Memory(w io.Writer, e memory.RememberedItem, zone *time.Location) {
	rows := [][]string{
		{"name", e.Name}, {"kind", string(e.Kind)}, {"when", e.At.In(zone).Format(secondLayout)}, {"text", memoryText(e)},
	}
	if e.Kind == memory.ItemLearned {
		rows = append(rows, []string{"confidence", confidenceText(e)})
	}
	for _, id := range e.Events {
		rows = append(rows, []string{"event", string(id)})
	}
	table(w, "", rows)
}

// Suggestions prints suggestions with their commands and events.
func Suggestions(w io.Writer, list []memory.Suggestion) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No suggestions")
		return
	}
	for _, s := range list {
		fmt.Fprintf(w, "%s  %s\n    try: %s\n", s.ID, oneLine(s.Text), s.Command)
		for _, id := range s.Events {
			fmt.Fprintf(w, "    event %s\n", id)
		}
	}
}

func memoryText(e memory.RememberedItem) string {
	if e.Unreadable {
		return "(encrypted; you have no key)"
	}
	return oneLine(e.Text)
}

func confidenceText(e memory.RememberedItem) string {
	if e.Kind != memory.ItemLearned {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", 100*e.Confidence)
}
