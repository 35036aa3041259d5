package output

import (
	"fmt"
	"io"
	"strings"

	"cortex/cmd/units"
	"cortex/events"
)

// Plan prints a plan: changes, sizes, notes, and what an undo could not restore.
func Plan(w io.Writer, p events.Plan) {
	fmt.Fprintf(w, "Plan %s: %s\n", p.ID(), PlanSummary(p))
	var rows [][]string
	for _, c := range p.Changes {
		name := string(c.Name)
		note := c.Origin
		if c.Automatic {
			note = strings.TrimSpace("automatic  " + note)
		}
		if c.Essential {
			note = strings.TrimSpace("ESSENTIAL  " + note)
		}
		rows = append(rows, []string{string(c.Action), name, VersionChange(c.From, c.To), note})
	}
	table(w, "  ", rows)
	FileChanges(w, p.Files())
	SettingChanges(w, p.Settings())
	if s := planSizes(p); s != "" {
		fmt.Fprintln(w, s)
	}
	for _, note := range p.Notes {
		fmt.Fprintf(w, "note: %s\n", note)
	}
	for _, r := range p.Risks {
		fmt.Fprintf(w, "cannot be undone: %s\n", r)
	}
	for _, r := range p.Residue {
		fmt.Fprintf(w, "not restored: %s\n", r)
	}
}

func planSizes(p events.Plan) string {
	var parts []string
	if p.DownloadBytes > 0 {
		parts = append(parts, units.Bytes(p.DownloadBytes)+" to download")
	}
	switch {
	case p.DiskDelta > 0:
		parts = append(parts, units.Bytes(p.DiskDelta)+" more on disk")
	case p.DiskDelta < 0:
		parts = append(parts, units.Bytes(-p.DiskDelta)+" less on disk")
	}
	return strings.Join(parts, ", ")
}

// VersionChange returns "1.0 → 2.0", or the only version.
func VersionChange(from, to events.Version) string {
	switch {
	case from == "" || from == to:
		return string(to)
	case to == "":
		return string(from)
	}
	return string(from) + " → " + string(to)
}

// summaryOrder is the order in which a summary names actions.
var summaryOrder = []events.Action{
	events.ActionInstall, events.ActionUpgrade, events.ActionDowngrade, events.ActionReinstall, events.ActionConfigure,
	events.ActionRemove, events.ActionPurge, events.ActionHold, events.ActionUnhold, events.ActionMarkAuto, events.ActionMarkManual,
}

// PlanSummary counts a plan's actions: "2 to install, 1 to remove".
func PlanSummary(p events.Plan) string {
	counts := map[events.Action]int{}
	for _, c := range p.Changes {
		counts[c.Action]++
	}
	var parts []string
	for _, a := range summaryOrder {
		if n := counts[a]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", n, strings.ReplaceAll(string(a), "-", " ")))
		}
	}
	if n := len(p.Files()); n > 0 {
		parts = append(parts, units.Count(n, "file")+" to restore")
	}
	if n := len(p.Settings()); n > 0 {
		parts = append(parts, units.Count(n, "setting")+" to restore")
	}
	if len(parts) == 0 {
		return "nothing to do"
	}
	return strings.Join(parts, ", ")
}

// PackageChanges prints the changed packages, one per line.
func PackageChanges(w io.Writer, changes []events.PackageChange) {
	var rows [][]string
	for _, c := range changes {
		rows = append(rows, []string{ChangeVerb(c), string(c.Name), VersionChange(c.Before.Version, c.After.Version), changeNote(c)})
	}
	table(w, "  ", rows)
}

func changeNote(c events.PackageChange) string {
	switch {
	case c.After.Auto && !c.Before.Known():
		return "automatic"
	case c.After.Status != events.StatusInstalled && c.After.Status != events.StatusConfigFiles && c.After.Known():
		return "left " + string(c.After.Status)
	}
	return ""
}

// ChangeVerb returns what happened to a package, in the past tense.
func ChangeVerb(c events.PackageChange) string {
	b, a := c.Before, c.After
	switch {
	case !a.Known():
		return "purged"
	case a.Status == events.StatusConfigFiles:
		return "removed"
	case a.Status == events.StatusNotInstalled:
		return "not installed"
	case a.Status != events.StatusInstalled:
		return "broken"
	case !b.Known() || b.Status == events.StatusConfigFiles:
		return "installed"
	case b.Status != events.StatusInstalled && a.Version == b.Version:
		return "configured"
	case a.Version != b.Version:
		return "changed"
	case a.Held() && !b.Held():
		return "held"
	case b.Held() && !a.Held():
		return "unheld"
	case a.Auto && !b.Auto:
		return "marked automatic"
	case b.Auto && !a.Auto:
		return "marked manual"
	}
	return "changed"
}
