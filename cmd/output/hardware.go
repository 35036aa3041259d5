package output

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"cortex/cmd/app"
	"cortex/cmd/hwsummary"
	"cortex/events"
	"cortex/producers/hardware"
	model "cortex/projections/hardware"
)

// HardwareFacts prints facts with their source, and the reason for an unknown value.
func HardwareFacts(w io.Writer, facts []events.HardwareFact) {
	var rows [][]string
	for _, f := range facts {
		rows = append(rows, []string{f.Key, shorten(hardwareValue(f), 60), string(f.Confidence), f.Source})
	}
	table(w, "", rows)
}

func hardwareValue(f events.HardwareFact) string {
	switch {
	case !f.Known():
		return "? " + f.Error
	case f.Value.String() == "":
		return "none"
	}
	return f.Value.String()
}

// Hardware prints the summary of one reading.
func Hardware(w io.Writer, facts []events.HardwareFact) {
	var rows [][]string
	for _, line := range hwsummary.Lines(facts) {
		rows = append(rows, []string{line.Label, line.Text})
	}
	table(w, "", rows)
}

// HardwareHistory prints snapshots.
func HardwareHistory(w io.Writer, list []model.SnapshotSummary, zone *time.Location) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No hardware snapshots")
		return
	}
	rows := [][]string{{"POSITION", "WHEN", "WHY", "FACTS", "CHANGED"}}
	for _, s := range list {
		rows = append(rows, []string{
			strconv.FormatUint(uint64(s.Position), 10), s.At.In(zone).Format(secondLayout), string(s.Reason), strconv.Itoa(s.Facts), strconv.Itoa(s.Changed),
		})
	}
	table(w, "", rows)
}

// HardwareDiff prints the facts that differ.
func HardwareDiff(w io.Writer, changes []events.HardwareChange) {
	if len(changes) == 0 {
		fmt.Fprintln(w, "No stable fact differs")
		return
	}
	side := func(v events.HardwareValue) string {
		if v == "" {
			return "-"
		}
		return shorten(v.String(), 60)
	}
	var rows [][]string
	for _, c := range changes {
		rows = append(rows, []string{c.Key, side(c.Before), "→", side(c.After)})
	}
	table(w, "", rows)
}

// adviceState returns the state of a recommended package on this machine.
func adviceState(p app.PackageAdvice) string {
	switch {
	case p.Installed:
		return "installed"
	case p.Offered == "yes":
		return "not installed"
	case p.Offered == "no" && p.Component != "":
		return "not offered by the sources; it is in component " + p.Component
	case p.Offered == "no":
		return "not offered by the sources"
	}
	return "not installed; the sources cannot be read"
}

// Recommendations prints recommended packages, each with reason and evidence.
func Recommendations(w io.Writer, advice app.HardwareAdvice) {
	switch {
	case advice.Withheld != "":
		fmt.Fprintln(w, "No recommendations: "+advice.Withheld)
		return
	case len(advice.Recommendations) == 0:
		fmt.Fprintln(w, "No recommendations for this hardware")
		return
	}
	for _, p := range advice.Recommendations {
		fmt.Fprintf(w, "%s (%s)\n  %s", p.Package, adviceState(p), p.Reason)
		if p.Confidence == events.ConfidenceGuess {
			fmt.Fprint(w, " (a guess)")
		}
		fmt.Fprintln(w)
		for _, e := range p.Evidence {
			fmt.Fprintln(w, "  because "+e)
		}
		if p.Source != hardware.BuiltInRules {
			fmt.Fprintln(w, "  source: "+p.Source)
		}
		if p.Note != "" {
			fmt.Fprintln(w, "  note: "+p.Note)
		}
	}
}
