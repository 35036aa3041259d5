package app

import (
	"errors"
	"testing"

	"cortex/events"
	"cortex/projections/history"
)

func TestAttemptFilterMatches(t *testing.T) {
	a := NewAttempt(history.TransactionRow{
		Verb: events.VerbInstall, Summary: "nginx", CommandLine: "cortex install nginx", State: events.StateDenied,
		Actor: events.Actor{UID: 1000, User: "ann", SudoUser: "bob"},
	})
	for name, tc := range map[string]struct {
		filter ChangeAttemptFilter
		want   bool
	}{
		"everything":      {ChangeAttemptFilter{}, true},
		"the user":        {ChangeAttemptFilter{User: "ann"}, true},
		"the uid":         {ChangeAttemptFilter{User: "1000"}, true},
		"the sudo user":   {ChangeAttemptFilter{User: "bob"}, true},
		"another user":    {ChangeAttemptFilter{User: "eve"}, false},
		"the outcome":     {ChangeAttemptFilter{Outcomes: []string{"failed", "denied"}}, true},
		"another outcome": {ChangeAttemptFilter{Outcomes: []string{"failed"}}, false},
		"the summary":     {ChangeAttemptFilter{Pattern: "ngi*"}, true},
		"the verb":        {ChangeAttemptFilter{Pattern: "install"}, true},
		"the command":     {ChangeAttemptFilter{Pattern: "*install nginx"}, true},
		"another command": {ChangeAttemptFilter{Pattern: "*apache*"}, false},
	} {
		if got := tc.filter.match(a); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestInvalidFilterIsUsage(t *testing.T) {
	for name, f := range map[string]ChangeAttemptFilter{
		"outcome": {Outcomes: []string{"nonsense"}},
		"since":   {Since: "nonsense"},
		"until":   {Until: "nonsense"},
		"package": {Package: "../x"},
	} {
		if _, err := (&Service{}).Attempts(t.Context(), f); !errors.Is(err, events.ErrUsage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSelectFacts(t *testing.T) {
	facts := []events.HardwareFact{{Key: "cpu.cores"}, {Key: "cpu.threads"}, {Key: "memory.total_b"}}
	for name, tc := range map[string]struct {
		keys []string
		want int
	}{
		"no key":            {nil, 3},
		"a pattern":         {[]string{"cpu.*"}, 2},
		"overlapping keys":  {[]string{"cpu.*", "cpu.cores"}, 2},
		"a key and another": {[]string{"cpu.cores", "memory.*"}, 2},
	} {
		if got, err := SelectFacts(facts, tc.keys); err != nil || len(got) != tc.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := SelectFacts(facts, []string{"cpu.*", "gpu.*"}); !errors.Is(err, events.ErrNotFound) {
		t.Errorf("an unknown key: %v", err)
	}
}

func TestSplitErrors(t *testing.T) {
	one, two, three := errors.New("1"), errors.New("2"), errors.New("3")
	got := splitErrors(errors.Join(one, errors.Join(two, three)))
	if len(got) != 3 || got[0] != one || got[1] != two || got[2] != three {
		t.Errorf("%v", got)
	}
	if got := splitErrors(nil); got != nil {
		t.Errorf("no error: %v", got)
	}
}
