// Package readmodels lists the read models of Cortex.
//
// It promises that the daemon, 'cortex replay' and the commands that open a read model
// use the same definitions: a read model that is in this list is projected, rebuilt,
// verified and found by name everywhere.
package readmodels

import (
	"errors"
	"strings"

	"cortex/events"
	"cortex/projections"
	"cortex/projections/answers"
	"cortex/projections/audit"
	"cortex/projections/hardware"
	"cortex/projections/history"
	"cortex/projections/limits"
	"cortex/projections/memory"
	"cortex/projections/packages"
	"cortex/projections/usage"
)

// Definitions returns the definitions of all read models.
func Definitions() []projections.Definition {
	return []projections.Definition{
		history.Definition(),
		packages.Definition(),
		answers.Definition(),
		hardware.Definition(),
		usage.Definition(),
		audit.Definition(),
		limits.Definition(),
		memory.Definition(),
	}
}

// ByName returns the definition of the read model with this name. It fails with
// ErrNotFound for an unknown name; the hint lists the known names.
func ByName(name string) (projections.Definition, error) {
	var names []string
	for _, d := range Definitions() {
		if d.Name == name {
			return d, nil
		}
		names = append(names, d.Name)
	}
	return projections.Definition{}, &events.Error{Op: "readmodels.ByName", Kind: events.ErrNotFound, Subject: "read model " + name, Err: errors.New("unknown"), Hint: "use one of " + strings.Join(names, ", ")}
}
