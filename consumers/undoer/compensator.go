package undoer

import (
	"context"
	"errors"
	"fmt"

	"cortex/consumers/ledger"
	"cortex/consumers/scribe"
	"cortex/events"
)

// Compensator is a worker: when an undo or redo has ended, it compares what the
// log says of every package the undone transaction changed with what was before,
// and records the verdict on the undone transaction.
type Compensator struct {
	log    events.Log
	scribe *scribe.Scribe
	ledger *ledger.Ledger
}

// NewCompensator returns a compensator.
func NewCompensator(s *scribe.Scribe, l *ledger.Ledger) *Compensator {
	return &Compensator{log: s.Log, scribe: s, ledger: l}
}

// Handle reacts to the fact that ended a transaction.
func (c *Compensator) Handle(ctx context.Context, r events.Record) error {
	undo, err := events.LoadTransaction(ctx, c.log, r.Transaction)
	if err != nil {
		return err
	}
	if undo.Intent.Verb != events.VerbUndo && undo.Intent.Verb != events.VerbRedo || !undo.State.Ran() {
		return nil
	}
	undone, err := events.LoadTransaction(ctx, c.log, undo.Intent.Target)
	if err != nil {
		return err
	}
	if undone.CompensatedBy != "" {
		return nil
	}
	inv, err := c.ledger.At(ctx, r.Position)
	if err != nil {
		return err
	}
	residue := append(Residue(undone.Changes, inv), undo.Plan.Residue...)
	if undo.State != events.StateSucceeded && len(residue) > 0 {
		return nil // it did not get there, and can be tried again
	}
	_, err = c.scribe.Transaction(ctx, scribe.After(r), undone, &events.Compensated{
		By: undo.ID, Exact: len(residue) == 0, Residue: residue,
	})
	if errors.Is(err, events.ErrConflict) {
		return nil
	}
	return err
}

// Residue lists every package of the changes that is not as it was before.
func Residue(changes []events.PackageChange, now events.Inventory) []string {
	var out []string
	for _, change := range changes {
		if n := now[change.PackageKey]; n != change.Before {
			out = append(out, fmt.Sprintf("%s: is %q, was %q", change.Name, n, change.Before))
		}
	}
	return out
}
