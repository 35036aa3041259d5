package app

import (
	"cortex/events"
	"fmt"
)

func CheckState(s events.TransactionState) error {
	if s == "" {
		return nil
	}
	for _, known := range events.TransactionStates {
		if s == known {
			return nil
		}
	}
	return &events.Error{Op: "cli", Kind: events.ErrUsage, Subject: fmt.Sprintf("%q", s), Err: fmt.Errorf("is no state"), Hint: "stateNames are " + StateNames()}
}

func StateNames() string {
	out := ""
	for i, s := range events.TransactionStates {
		if i > 0 {
			out += ", "
		}
		out += string(s)
	}
	return out
}
