package history

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cortex/events"
)

// maxNamed is how many packages a summary names.
const maxNamed = 3

// summary tells what a transaction is about: the packages that were asked for,
// and how many others come with them, such as "cowsay, sl (+3)". That of an undo
// or redo starts with the number it takes back: "5: cowsay".
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
		text = "a manifest" // of sources, or not planned
	}
	if x.targetNumber == 0 {
		return text
	}
	if text == "" {
		return strconv.Itoa(x.targetNumber)
	}
	return fmt.Sprintf("%d: %s", x.targetNumber, text)
}

// distinct keeps the first of equal names.
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

// countChanges sorts by the states; the plan decides where they leave it open:
// which of two versions is the newer, and whether configuration was to go.
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

// needsPlannedAction: only the plan tells what to call this change.
func needsPlannedAction(c events.PackageChange) bool {
	return isPurged(c.After) || c.Before.Installed() && c.After.Installed() && c.Before.Version != c.After.Version
}

// isPurged: nothing of the package is left.
func isPurged(s events.State) bool { return s.Status == "" || s.Status == events.StatusNotInstalled }

// isNotInstalled: no version of the package is there, at most its configuration.
func isNotInstalled(s events.State) bool { return isPurged(s) || s.Status == events.StatusConfigFiles }

// encode writes the counts into one column, in the order of the fields; "" is
// eight zeros.
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
		return c, fmt.Errorf("counts %q", s)
	}
	for i, word := range words {
		n, err := strconv.Atoi(word)
		if err != nil {
			return c, fmt.Errorf("counts %q: %w", s, err)
		}
		*fields[i] = n
	}
	return c, nil
}
