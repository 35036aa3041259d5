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

// Projections are those of all read models.
func Projections() []projections.Projection {
	return []projections.Projection{
		history.Projection{},
		packages.Projection{},
		answers.Projection{Extract: answersFromFact},
		hardware.Projection{},
		usage.Projection{},
		audit.Projection{},
		limits.Projection{},
		memory.Projection{},
	}
}

// ProjectionByName gives the one of this name, or ErrNotFound.
func ProjectionByName(name string) (projections.Projection, error) {
	var names []string
	for _, p := range Projections() {
		if p.Name() == name {
			return p, nil
		}
		names = append(names, p.Name())
	}
	return nil, &events.Error{Op: "parts.Projection", Kind: events.ErrNotFound, Subject: name, Err: errors.New("there is no such read model"), Hint: "there are " + strings.Join(names, ", ")}
}

// answersFromFact reads from the facts of models' calls what the cache of answers needs.
func answersFromFact(f events.Fact) (*answers.AnswerToCache, []answers.AnswerUses) {
	c, ok := f.(*events.LLMCompleted)
	switch {
	case !ok:
		return nil, nil
	case c.Cache != "":
		return nil, []answers.AnswerUses{{Answer: c.CachedFrom, Times: 1}}
	}
	return &answers.AnswerToCache{
		Scope: c.Scope, ExactKey: c.ExactKey, CanonicalKey: c.CanonicalKey, Task: string(c.Task), Model: c.Model, Question: c.Question, Answer: c.Answer, Cost: c.Cost,
	}, nil
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
