package door_test

import (
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"cortex/cmd/door"
	"cortex/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAMemoIsOneThingWithinItsLimits(t *testing.T) {
	for name, c := range map[string]struct {
		memo door.Memo
		good bool
	}{
		"a preference":             {door.Memo{State: "vim"}, true},
		"the longest preference":   {door.Memo{State: strings.Repeat("x", events.MaxPreferenceBytes)}, true},
		"one that is too long":     {door.Memo{State: strings.Repeat("x", events.MaxPreferenceBytes+1)}, false},
		"memories":                 {door.Memo{Forget: []string{"p12", "c34.1", "f56"}}, true},
		"a suggestion":             {door.Memo{Dismiss: "f56"}, true},
		"everything":               {door.Memo{ForgetAll: true}, true},
		"nothing":                  {door.Memo{}, false},
		"two things":               {door.Memo{State: "vim", ForgetAll: true}, false},
		"what is no memory":        {door.Memo{Forget: []string{"p12/../x"}}, false},
		"the position nought":      {door.Memo{Forget: []string{"p0"}}, false},
		"what is no suggestion":    {door.Memo{Dismiss: "x"}, false},
		"more than may be at once": {door.Memo{Forget: make([]string, events.MaxMemoriesForgotten+1)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.memo.Validate(); (err == nil) != c.good || err != nil && !errors.Is(err, events.ErrUsage) {
				t.Errorf("got %v", err)
			}
		})
	}
}
