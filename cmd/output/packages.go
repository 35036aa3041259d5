package output

import (
	"fmt"
	"io"
	"time"

	"cortex/events"
	"cortex/projections/packages"
)

// changedBy names the cause of a package's last change outside a transaction.
func changedBy(kind packages.CauseKind) string {
	switch kind {
	case packages.ByBaseline:
		return "installed before cortex"
	case packages.ByDrift:
		return "made outside cortex"
	case packages.ByTransaction:
	}
	return string(kind)
}

// Packages prints packages, each with its last change.
func Packages(w io.Writer, list []packages.PackageRow, zone *time.Location) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No packages")
		return
	}
	rows := [][]string{{"PACKAGE", "VERSION", "STATE", "SINCE", "BY"}}
	for _, p := range list {
		state := string(p.Status)
		if p.Auto {
			state += ", auto"
		}
		if p.Want == events.WantHold {
			state += ", held"
		}
		by := changedBy(p.LastChange.Kind)
		if p.LastChange.Number > 0 {
			by = fmt.Sprintf("%d %s", p.LastChange.Number, p.LastChange.Verb)
		}
		rows = append(rows, []string{p.PackageKey.String(), string(p.Version), state, p.LastChange.At.In(zone).Format("2006-01-02 15:04"), by})
	}
	table(w, "", rows)
}
