package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"sync"

	"cortex/events"
)

// MemoryChange is what somebody wants remembered or forgotten about themselves; exactly
// one field is set.
type MemoryChange struct {
	Preference        string   `json:"state,omitempty"`   // a preference
	DismissSuggestion string   `json:"dismiss,omitempty"` // a suggestion
	Forget            []string `json:"forget,omitempty"`  // memories, by name
	ForgetAll         bool     `json:"forget_all,omitempty"`
}

var memoryNamePattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[pcf][1-9][0-9]{0,18}(\.[0-9]{1,4})?$`) })

// Validate reports every problem, joined.
func (m MemoryChange) Validate() error {
	var errs []error
	set := 0
	for _, is := range []bool{m.Preference != "", m.DismissSuggestion != "", len(m.Forget) > 0, m.ForgetAll} {
		if is {
			set++
		}
	}
	if set != 1 {
		errs = append(errs, errors.New("one thing at a time"))
	}
	if len(m.Preference) > events.MaxPreferenceBytes {
		errs = append(errs, fmt.Errorf("a preference of %d bytes is more than %d", len(m.Preference), events.MaxPreferenceBytes))
	}
	if len(m.Forget) > events.MaxMemoriesForgotten {
		errs = append(errs, fmt.Errorf("%d memories are more than %d", len(m.Forget), events.MaxMemoriesForgotten))
	}
	names := slices.Clone(m.Forget)
	if m.DismissSuggestion != "" {
		names = append(names, m.DismissSuggestion)
	}
	for _, n := range names {
		if !memoryNamePattern().MatchString(n) {
			errs = append(errs, fmt.Errorf("%q is no memory", n))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return &events.Error{Op: "api.Memo.Validate", Kind: events.ErrUsage, Err: err, Hint: "'cortex memory show' names them"}
	}
	return nil
}

// postMemory serves anybody, each about themselves.
func (d *SocketServer) postMemory(w http.ResponseWriter, r *http.Request, who events.Actor) error {
	var m MemoryChange
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		return &events.Error{Op: "api.postMemory", Kind: events.ErrUsage, Err: fmt.Errorf("not a memo: %w", err)}
	}
	if err := m.Validate(); err != nil {
		return err
	}
	at, err := d.backend.UpdateMemory(r.Context(), who, m)
	if err != nil {
		return err
	}
	return writeJSON(w, PositionReply{Position: at})
}
