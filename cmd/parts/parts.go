// Package parts makes what the command and the daemon both use: ids, the
// projections of all read models, the collector of hardware, and the programs that
// belong to cortex. It keeps the broker out of the command: see [FindProgram].
package parts

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

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

// LibexecDir is where a package of the system puts programs that belong to cortex.
const LibexecDir = "/usr/libexec/cortex"

// CommandPath is where a package of the system puts the command.
const CommandPath = "/usr/bin/cortex"

// NewID makes an id that sorts by time.
func NewID() events.ID { return events.ID(uuid.Must(uuid.NewV7()).String()) }

// Projections returns the definitions of all read models.
func Projections() []projections.Definition {
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

// ProjectionByName returns the definition of a read model, or ErrNotFound.
func ProjectionByName(name string) (projections.Definition, error) {
	var names []string
	for _, d := range Projections() {
		if d.Name == name {
			return d, nil
		}
		names = append(names, d.Name)
	}
	return projections.Definition{}, &events.Error{Op: "parts.Projection", Kind: events.ErrNotFound, Subject: "read model " + name, Err: errors.New("unknown"), Hint: "use one of " + strings.Join(names, ", ")}
}

// FindProgram finds a program that belongs to cortex: beside the one that runs, or in
// [LibexecDir]. It is never looked for in PATH, for root runs it. It fails with ErrNotFound.
func FindProgram(name string) (string, error) {
	places := []string{LibexecDir}
	if self, err := os.Executable(); err == nil {
		places = []string{filepath.Dir(self), LibexecDir}
	}
	for _, dir := range places {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", &events.Error{Op: "parts.Program", Kind: events.ErrNotFound, Subject: name, Err: errors.New("the program is not installed beside cortex")}
}
