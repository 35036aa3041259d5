package output

import (
	"strings"

	"cortex/events"
)

// NothingToDo returns why the plan of an intent is empty.
func NothingToDo(in events.Intent) string {
	var names []string
	for _, p := range in.Packages {
		names = append(names, string(p.Name))
	}
	subject := strings.Join(names, ", ") + " is "
	if len(names) > 1 {
		subject = strings.Join(names, ", ") + " are "
	}
	switch in.Verb {
	case events.VerbInstall:
		return subject + "already installed"
	case events.VerbRemove, events.VerbPurge:
		return subject + "not installed"
	case events.VerbHold:
		return subject + "already on hold"
	case events.VerbUnhold:
		return subject + "not on hold"
	case events.VerbUpgrade:
		if len(names) == 0 {
			return "every package is up to date"
		}
		return subject + "up to date"
	case events.VerbUndo, events.VerbRedo, events.VerbRollback, events.VerbImport, events.VerbObserved:
	}
	return "the machine is already in that state"
}
