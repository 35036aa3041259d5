package api_test

import (
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"cortex/cmd/api"
	"cortex/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemoryChangeValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change api.MemoryChange
		good   bool
	}{
		"a preference":           {api.MemoryChange{Preference: "vim"}, true},
		"the longest preference": {api.MemoryChange{Preference: strings.Repeat("x", events.MaxPreferenceBytes)}, true},
		"too long a preference":  {api.MemoryChange{Preference: strings.Repeat("x", events.MaxPreferenceBytes+1)}, false},
		"items":                  {api.MemoryChange{Forget: []string{"p12", "c34.1", "f56"}}, true},
		"a suggestion":           {api.MemoryChange{DismissSuggestion: "f56"}, true},
		"all items":              {api.MemoryChange{ForgetAll: true}, true},
		"no field":               {api.MemoryChange{}, false},
		"two fields":             {api.MemoryChange{Preference: "vim", ForgetAll: true}, false},
		"invalid item name":      {api.MemoryChange{Forget: []string{"p12/../x"}}, false},
		"position 0":             {api.MemoryChange{Forget: []string{"p0"}}, false},
		"invalid suggestion":     {api.MemoryChange{DismissSuggestion: "x"}, false},
		"too many items":         {api.MemoryChange{Forget: make([]string, events.MaxMemoriesForgotten+1)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.change.Validate(); (err == nil) != c.good || err != nil && !errors.Is(err, events.ErrUsage) {
				t.Errorf("got %v", err)
			}
		})
	}
}
