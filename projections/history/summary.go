package history

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cortex/events"
)

// maxNamed is the maximum number of packages in a summary.
const maxNamed = 3

// summary returns the requested packages and the number of other packages, such as
// "cowsay, sl (+3)". The summary of an undo or redo starts with the number of its target:
// "5: cowsay".
func summary(x transactionContext, touched []string) string {
	named, touched := distinct(x.names), distinct(touched)
	others := 0
	if len(named) == 0 {
		named = touched
	} else {
		for _, name := range touched {
			if !slices.Contains(named, name) {
				others++
			}
		}
	}
	if len(named) > maxNamed {
		others += len(named) - maxNamed
		named = named[:maxNamed]
	}
	text := strings.Join(named, ", ")
	if others > 0 {
		text += fmt.Sprintf(" (+%d)", others)
	}
	if text == "" && x.verb == events.VerbImport {
		text = "a manifest" // without packages, or not planned yet
	}
	if x.targetNumber == 0 {
		return text
	}
	if text == "" {
		return strconv.Itoa(x.targetNumber)
	}
	return fmt.Sprintf("%d: %s", x.targetNumber, text)
}

// distinct removes duplicates and keeps the order.
func distinct(names []string) []string {
	seen := make(map[string]bool, len(names))
	var out []string
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}

func countPlan(changes []events.PlannedChange) Counts {
	var c Counts
	for _, change := range changes {
		switch change.Action {
		case events.ActionInstall:
			c.Installed++
		case events.ActionUpgrade:
			c.Upgraded++
		case events.ActionDowngrade:
			c.Downgraded++
		case events.ActionReinstall:
			c.Reinstalled++
		case events.ActionRemove:
			c.Removed++
		case events.ActionPurge:
			c.Purged++
		case events.ActionHold, events.ActionUnhold, events.ActionMarkAuto, events.ActionMarkManual:
			c.Marked++
		case events.ActionConfigure:
			c.Other++
		default:
			c.Other++
		}
	}
	return c
}

// countChanges counts changes by the states before and after. The planned action
// distinguishes an upgrade from a downgrade and a purge from a removal.
func countChanges(changes []events.PackageChange, planned map[events.PackageKey]events.Action) Counts {
	var c Counts
	for _, change := range changes {
		b, a := change.Before, change.After
		action := planned[change.PackageKey]
		switch {
		case isNotInstalled(b) && a.Installed():
			c.Installed++
		case b.Installed() && a.Installed() && b.Version == a.Version:
			c.Marked++
		case b.Installed() && a.Installed() && action == events.ActionDowngrade:
			c.Downgraded++
		case b.Installed() && a.Installed():
			c.Upgraded++
		case b.Status == events.StatusConfigFiles && isPurged(a), isPurged(a) && action == events.ActionPurge:
			c.Purged++
		case !isNotInstalled(b) && isNotInstalled(a):
			c.Removed++
		default:
			c.Other++
		}
	}
	return c
}

// needsPlannedAction reports whether the states alone do not determine the change.
func needsPlannedAction(c events.PackageChange) bool {
	return isPurged(c.After) || c.Before.Installed() && c.After.Installed() && c.Before.Version != c.After.Version
}

// isPurged reports whether nothing of the package remains.
func isPurged(s events.State) bool { return s.Status == "" || s.Status == events.StatusNotInstalled }

// isNotInstalled reports whether at most the configuration of the package remains.
func isNotInstalled(s events.State) bool { return isPurged(s) || s.Status == events.StatusConfigFiles }

// encode returns the counts in the order of the fields, for one column. All zeros are "".
func (c Counts) encode() string {
	if c == (Counts{}) {
		return ""
	}
	return fmt.Sprint(c.Installed, c.Upgraded, c.Downgraded, c.Reinstalled, c.Removed, c.Purged, c.Marked, c.Other)
}

func decodeCounts(s string) (Counts, error) {
	var c Counts
	if s == "" {
		return c, nil
	}
	fields := []*int{&c.Installed, &c.Upgraded, &c.Downgraded, &c.Reinstalled, &c.Removed, &c.Purged, &c.Marked, &c.Other}
	words := strings.Fields(s)
	if len(words) != len(fields) {
		return c, fmt.Errorf("malformed counts %q", s)
	}
	for i, word := range words {
		n, err := strconv.Atoi(word)
		if err != nil {
			return c, fmt.Errorf("malformed counts %q: %w", s, err)
		}
		*fields[i] = n
	}
	return c, nil
}
