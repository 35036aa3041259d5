package door

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

// Memo is what somebody wants remembered or forgotten about themselves; exactly
// one field is set.
type Memo struct {
	State     string   `json:"state,omitempty"`   // a preference
	Dismiss   string   `json:"dismiss,omitempty"` // a suggestion
	Forget    []string `json:"forget,omitempty"`  // memories, by name
	ForgetAll bool     `json:"forget_all,omitempty"`
}

var memoryName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[pcf][1-9][0-9]{0,18}(\.[0-9]{1,4})?$`) })

// Validate reports every problem, joined.
func (m Memo) Validate() error {
	var errs []error
	set := 0
	for _, is := range []bool{m.State != "", m.Dismiss != "", len(m.Forget) > 0, m.ForgetAll} {
		if is {
			set++
		}
	}
	if set != 1 {
		errs = append(errs, errors.New("one thing at a time"))
	}
	if len(m.State) > events.MaxPreferenceBytes {
		errs = append(errs, fmt.Errorf("a preference of %d bytes is more than %d", len(m.State), events.MaxPreferenceBytes))
	}
	if len(m.Forget) > events.MaxMemoriesForgotten {
		errs = append(errs, fmt.Errorf("%d memories are more than %d", len(m.Forget), events.MaxMemoriesForgotten))
	}
	names := slices.Clone(m.Forget)
	if m.Dismiss != "" {
		names = append(names, m.Dismiss)
	}
	for _, n := range names {
		if !memoryName().MatchString(n) {
			errs = append(errs, fmt.Errorf("%q is no memory", n))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return &events.Error{Op: "door.Memo.Validate", Kind: events.ErrUsage, Err: err, Hint: "'cortex memory show' names them"}
	}
	return nil
}

// postMemory serves anybody, each about themselves.
func (d *Door) postMemory(w http.ResponseWriter, r *http.Request, who events.Actor) error {
	var m Memo
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		return &events.Error{Op: "door.postMemory", Kind: events.ErrUsage, Err: fmt.Errorf("not a memo: %w", err)}
	}
	if err := m.Validate(); err != nil {
		return err
	}
	at, err := d.backend.Remember(r.Context(), who, m)
	if err != nil {
		return err
	}
	return answer(w, Accepted{Position: at})
}
