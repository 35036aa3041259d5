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

// MemoryChange asks the daemon to remember or forget something about the caller. Exactly
// one field is set.
type MemoryChange struct {
	Preference        string   `json:"state,omitempty"`   // text to remember
	DismissSuggestion string   `json:"dismiss,omitempty"` // name of a suggestion to dismiss
	Forget            []string `json:"forget,omitempty"`  // names of items to forget
	ForgetAll         bool     `json:"forget_all,omitempty"`
}

var memoryNamePattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[pcf][1-9][0-9]{0,18}(\.[0-9]{1,4})?$`) })

// Validate returns all problems, joined, as one ErrUsage error.
func (m MemoryChange) Validate() error {
	var errs []error
	set := 0
	for _, is := range []bool{m.Preference != "", m.DismissSuggestion != "", len(m.Forget) > 0, m.ForgetAll} {
		if is {
			set++
		}
	}
	if set != 1 {
		errs = append(errs, errors.New("exactly one of state, dismiss, forget and forget_all must be set"))
	}
	if len(m.Preference) > events.MaxPreferenceBytes {
		errs = append(errs, fmt.Errorf("the preference has %d bytes; at most %d are allowed", len(m.Preference), events.MaxPreferenceBytes))
	}
	if len(m.Forget) > events.MaxMemoriesForgotten {
		errs = append(errs, fmt.Errorf("%d items cannot be forgotten at once; at most %d are allowed", len(m.Forget), events.MaxMemoriesForgotten))
	}
	names := slices.Clone(m.Forget)
	if m.DismissSuggestion != "" {
		names = append(names, m.DismissSuggestion)
	}
	for _, n := range names {
		if !memoryNamePattern().MatchString(n) {
			errs = append(errs, fmt.Errorf("invalid name %q of a remembered item", n))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return &events.Error{Op: "api.MemoryChange.Validate", Kind: events.ErrUsage, Err: err, Hint: "'cortex memory show' lists the names"}
	}
	return nil
}

// postMemory changes the items about the caller.
func (srv *SocketServer) postMemory(w http.ResponseWriter, r *http.Request, who events.Actor) error {
	var m MemoryChange
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		return &events.Error{Op: "api.postMemory", Kind: events.ErrUsage, Err: fmt.Errorf("not a change of memory: %w", err)}
	}
	if err := m.Validate(); err != nil {
		return err
	}
	at, err := srv.backend.UpdateMemory(r.Context(), who, m)
	if err != nil {
		return err
	}
	return writeJSON(w, PositionReply{Position: at})
}
