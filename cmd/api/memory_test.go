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

func TestAMemoIsOneThingWithinItsLimits(t *testing.T) {
	for name, c := range map[string]struct {
		memo api.MemoryChange
		good bool
	}{
		"a preference":             {api.MemoryChange{Preference: "vim"}, true},
		"the longest preference":   {api.MemoryChange{Preference: strings.Repeat("x", events.MaxPreferenceBytes)}, true},
		"one that is too long":     {api.MemoryChange{Preference: strings.Repeat("x", events.MaxPreferenceBytes+1)}, false},
		"memories":                 {api.MemoryChange{Forget: []string{"p12", "c34.1", "f56"}}, true},
		"a suggestion":             {api.MemoryChange{DismissSuggestion: "f56"}, true},
		"everything":               {api.MemoryChange{ForgetAll: true}, true},
		"nothing":                  {api.MemoryChange{}, false},
		"two things":               {api.MemoryChange{Preference: "vim", ForgetAll: true}, false},
		"what is no memory":        {api.MemoryChange{Forget: []string{"p12/../x"}}, false},
		"the position nought":      {api.MemoryChange{Forget: []string{"p0"}}, false},
		"what is no suggestion":    {api.MemoryChange{DismissSuggestion: "x"}, false},
		"more than may be at once": {api.MemoryChange{Forget: make([]string, events.MaxMemoriesForgotten+1)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.memo.Validate(); (err == nil) != c.good || err != nil && !errors.Is(err, events.ErrUsage) {
				t.Errorf("got %v", err)
			}
		})
	}
}
