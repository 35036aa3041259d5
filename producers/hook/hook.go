// Package hook writes down what the hooks of apt and dpkg see of a change that
// somebody else makes, for the daemon to take in: at once when it runs, at its
// next start when it does not.
//
// It promises that an observation is on disk whole or not at all, that one which
// was begun and never ended is continued by the next and not lost, and that it
// needs nobody else: no daemon, no lock, no network.
package hook

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"cortex/events"
	"cortex/internal/atomicfile"
)

const (
	inProgressName = "open"  // the observation that is going on
	completeSuffix = ".json" // of those that are complete
)

// Spool is the directory of observations.
type Spool struct{ Dir string }

// Begin writes down what was seen before a change. When an observation is going
// on already, that one is continued: its before is the older.
func (s Spool) Begin(o events.Observation) error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fmt.Errorf("begin an observation: %w", err)
	}
	old, going, err := s.InProgress()
	if err != nil {
		return err
	}
	if going {
		if old.Command != o.Command && len(old.Command)+len(o.Command)+2 < events.MaxTextBytes {
			old.Command += "; " + o.Command
		}
		old.Debs = append(old.Debs, o.Debs...)
		o = old
	}
	return s.write(inProgressName, o)
}

// InProgress gives the observation that is going on.
func (s Spool) InProgress() (o events.Observation, going bool, err error) {
	b, err := os.ReadFile(filepath.Join(s.Dir, inProgressName))
	if errors.Is(err, fs.ErrNotExist) {
		return o, false, nil
	}
	if err != nil {
		return o, false, fmt.Errorf("read the open observation: %w", err)
	}
	if json.Unmarshal(b, &o) != nil {
		return events.Observation{}, false, nil // begun by something else, or damaged
	}
	return o, true, nil
}

// End completes the observation that is going on, if any.
func (s Spool) End(after events.StateSnapshot, at time.Time) (ended bool, err error) {
	o, going, err := s.InProgress()
	if err != nil || !going {
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
