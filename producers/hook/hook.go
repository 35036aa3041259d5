// Package hook spools the observations of the hooks of apt and dpkg: changes that were made
// outside cortex. A running daemon reads the spool at once; otherwise the next one reads it
// at its start.
//
// It promises:
//   - A file in the spool has a whole observation, never a part of one.
//   - An observation that was begun and not ended is continued by the next one.
//   - It needs no daemon, no lock and no network.
package hook

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cortex/events"
	"cortex/internal/atomicfile"
)

const (
	inProgressName = "open"  // the observation in progress
	completeSuffix = ".json" // of complete observations
)

// Spool is the directory of observations.
type Spool struct{ Dir string }

// Begin stores the state before a change. If an observation is in progress, Begin continues it
// and keeps its older state.
func (s Spool) Begin(o events.Observation) error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fmt.Errorf("begin an observation: %w", err)
	}
	old, inProgress, err := s.InProgress()
	if err != nil {
		return err
	}
	if inProgress {
		if old.Command != o.Command && len(old.Command)+len(o.Command)+2 < events.MaxTextBytes {
			old.Command += "; " + o.Command
		}
		old.Debs = append(old.Debs, o.Debs...)
		o = old
	}
	return s.write(inProgressName, o)
}

// InProgress returns the observation in progress, if any.
func (s Spool) InProgress() (o events.Observation, ok bool, err error) {
	b, err := os.ReadFile(filepath.Join(s.Dir, inProgressName))
	if errors.Is(err, fs.ErrNotExist) {
		return o, false, nil
	}
	if err != nil {
		return o, false, fmt.Errorf("read the observation in progress: %w", err)
	}
	if json.Unmarshal(b, &o) != nil {
		return events.Observation{}, false, nil // damaged, so there is nothing to continue
	}
	return o, true, nil
}

// End completes the observation in progress, if any.
func (s Spool) End(after events.StateSnapshot, at time.Time) (ended bool, err error) {
	o, inProgress, err := s.InProgress()
	if err != nil || !inProgress {
		return false, err
	}
	o.After, o.Ended = after, at
	if err := s.write(string(o.ID)+completeSuffix, o); err != nil {
		return false, err
	}
	return true, os.Remove(filepath.Join(s.Dir, inProgressName))
}

func (s Spool) write(name string, o events.Observation) error {
	b, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("write an observation: %w", err)
	}
	err = atomicfile.Write(filepath.Join(s.Dir, name), b, atomicfile.Options{Mode: 0o600, SkipDirSync: true}) // apt waits for the hook
	if err != nil {
		return fmt.Errorf("write an observation: %w", err)
	}
	return nil
}

// IsComplete reports whether the name of a file in the spool is that of a complete
// observation.
func IsComplete(name string) bool {
	return strings.HasSuffix(name, completeSuffix) && !strings.HasPrefix(name, ".")
}
