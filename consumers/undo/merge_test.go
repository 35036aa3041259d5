package undo_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/consumers/recorder"
	"cortex/consumers/undo"
	"cortex/events"
)

// An undo that stopped half-way leaves packages that the next undo of the same
// transaction must take from the state that they have now.
func TestMergeEffectsAddsFailedUndosOfTheTransaction(t *testing.T) {
	change := func(name, before, after string) events.PackageChange {
		return events.PackageChange{PackageKey: key(name), Before: state(before), After: state(after)}
	}
	installed := []events.PackageChange{change("lib", "-", "1.0"), change("toy", "-", "1.0")}
	partial := []events.PackageChange{change("toy", "1.0", "-")}
	for name, tc := range map[string]struct {
		end     events.Fact // of the attempt
		undoes  bool        // the attempt is one of this transaction
		cascade bool        // its plan names the transaction, its request another one
		undone  bool        // the attempt was itself undone
		want    []events.PackageChange
	}{
		"a failed undo":                        {end: &events.Failed{Changes: partial}, undoes: true, want: installed[:1]},
		"an interrupted undo":                  {end: &events.Interrupted{Changes: partial}, undoes: true, want: installed[:1]},
		"a failed undo of several":             {end: &events.Failed{Changes: partial}, cascade: true, want: installed[:1]},
		"an undo that succeeded":               {end: &events.Succeeded{Changes: partial}, undoes: true, want: installed},
		"a failed undo that was itself undone": {end: &events.Failed{Changes: partial}, undoes: true, undone: true, want: installed},
		"a failed undo of another":             {end: &events.Failed{Changes: partial}, want: installed},
	} {
		t.Run(name, func(t *testing.T) {
			log, s := bench(t)
			upgrade := events.Intent{Verb: events.VerbUpgrade}
			done, _ := run(t, s, upgrade, events.Plan{}, &events.Succeeded{Changes: installed})
			other, _ := run(t, s, upgrade, events.Plan{}, &events.Succeeded{})
			in, plan := events.Intent{Verb: events.VerbUndo, Target: other.ID}, events.Plan{}
			if tc.undoes {
				in.Target = done.ID
			}
			if tc.cascade {
				plan.Undoes = []events.TransactionID{other.ID, done.ID}
			}
			attempt, _ := run(t, s, in, plan, tc.end)
			if tc.undone {
				if _, err := s.AppendToTransaction(t.Context(), recorder.Cause{}, attempt, &events.Compensated{By: other.ID, Exact: true}); err != nil {
					t.Fatal(err)
				}
			}
			got, err := undo.MergeEffects(t.Context(), log, events.Intent{Verb: events.VerbUndo, Target: done.ID})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got.Changes); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(got.Transactions) != 1 || got.Transactions[0].ID != done.ID {
				t.Errorf("%d transactions are marked as undone, want the named one", len(got.Transactions))
			}
		})
	}
}
