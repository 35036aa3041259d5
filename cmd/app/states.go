package app

import (
	"fmt"
	"slices"
	"strings"

	"cortex/events"
)

// StateNames returns the names of all states of a transaction.
func StateNames() []string {
	var out []string
	for _, s := range events.TransactionStates {
		out = append(out, string(s))
	}
	return out
}

// CheckState returns ErrUsage unless state names a state of a transaction or is empty. what
// names the input in the error.
func CheckState(what, state string) error {
	if state == "" || slices.Contains(StateNames(), state) {
		return nil
	}
	return &events.Error{
		Op: "app.CheckState", Kind: events.ErrUsage, Subject: what,
		Err: fmt.Errorf("invalid state %q", state), Hint: "states are " + strings.Join(StateNames(), ", "),
	}
}
