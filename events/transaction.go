package events

import (
	"context"
	"fmt"
	"time"
)

// TransactionState is where a transaction is in its life.
type TransactionState string

// The states. Everything from refused on is final, except that a transaction
// with changes may still be compensated.
const (
	StateNone        TransactionState = ""
	StateRequested   TransactionState = "requested"
	StatePlanned     TransactionState = "planned"
	StateApproved    TransactionState = "approved"
	StateRunning     TransactionState = "running"
	StateRefused     TransactionState = "refused"
	StateDenied      TransactionState = "denied"
	StateCancelled   TransactionState = "cancelled"
	StateSucceeded   TransactionState = "succeeded"
	StateFailed      TransactionState = "failed"
	StateInterrupted TransactionState = "interrupted"
	StateObserved    TransactionState = "observed" // somebody else carried it out
)

// TransactionStates lists every state but StateNone.
var TransactionStates = []TransactionState{
	StateRequested, StatePlanned, StateApproved, StateRunning, StateRefused, StateDenied,
	StateCancelled, StateSucceeded, StateFailed, StateInterrupted, StateObserved,
}

// Ended reports whether nothing will run any more.
func (s TransactionState) Ended() bool {
	switch s {
	case StateRefused, StateDenied, StateCancelled, StateSucceeded, StateFailed, StateInterrupted, StateObserved:
		return true
	case StateNone, StateRequested, StatePlanned, StateApproved, StateRunning:
		return false
	}
	return false
}

// Ran reports whether effects may have happened and are over.
func (s TransactionState) Ran() bool {
	return s == StateSucceeded || s == StateFailed || s == StateInterrupted || s == StateObserved
}

// StepRun is one step as it ran.
type StepRun struct {
	StepStarted
	Done       bool
	OK         bool
	Output     string
	ExitCode   int
	Failure    *Failure
	DurationMs int64
}

// Transaction is the pure fold of one transaction's facts: a state machine that
// refuses impossible orders. The zero value is ready to use.
type Transaction struct {
	ID            TransactionID
	Number        int
	State         TransactionState
	Intent        Intent
	Actor         Actor // who asked
	Request       ID    // the event that opened it
	RequestedAt   time.Time
	EndedAt       time.Time
	PlanID        PlanID
	Plan          Plan
	InventoryHash string // inventory hash the plan was made on
	ApprovedBy    Actor
	ApprovedHow   string
	Denial        *Denial // what policy says against the plan; no yes helps
	Steps         []StepRun
	Snapshots     []SnapshotTaken // what is kept for an undo, in the order of the steps
	Changes       []PackageChange
	Files         []FileChange
	Settings      []SettingChange
	Failure       *Failure // why it was refused or failed
	Recovered     []string
	CompensatedBy TransactionID
	Exact         bool
	Residue       []string
	LastPosition  Position // of its latest fact
}

// Undoable reports whether there is something to take back.
func (t *Transaction) Undoable() bool {
	return t.State.Ran() && !t.Effects().Empty() && t.CompensatedBy == ""
}

// Effects is what it did.
func (t *Transaction) Effects() Effects {
	return Effects{Changes: t.Changes, Files: t.Files, Settings: t.Settings}
}

// Apply folds one record of the transaction. An order that cannot happen is an
// ErrCorrupt error and leaves t as it was; a record at or before t.Last is
// skipped, so that applying twice is applying once.
func (t *Transaction) Apply(r Record) error {
	if r.Position <= t.LastPosition {
		return nil
	}
	f, err := Decode(r.Event)
	if err != nil {
		return err
	}
	next, ok := transition(t.State, f)
	if _, approval := f.(*Approved); approval && t.Denial != nil {
		ok = false
	}
	if !ok {
		return &Error{
			Op: "events.Transaction.Apply", Kind: ErrCorrupt, Subject: string(r.Transaction),
			Err: fmt.Errorf("%s at %d cannot follow state %q", f.Kind(), r.Position, t.State),
		}
	}
	if err := t.applySteps(f); err != nil {
		return err
	}
	t.applyData(r, f)
	t.State, t.LastPosition = next, r.Position
	if next.Ended() && t.EndedAt.IsZero() {
		t.EndedAt = r.Time
	}
	return nil
}

// transition is the whole state machine.
func transition(s TransactionState, f Fact) (TransactionState, bool) {
	switch f.(type) {
	case *Requested:
		return StateRequested, s == StateNone
	case *Planned:
		return StatePlanned, s == StateRequested
	case *Refused:
		return StateRefused, s == StateRequested || s == StatePlanned || s == StateApproved
	case *Approved:
		return StateApproved, s == StatePlanned
	case *Denied:
		return StateDenied, s == StatePlanned || s == StateApproved
	case *Cancelled:
		return StateCancelled, s == StateRequested || s == StatePlanned
	case *Started:
		return StateRunning, s == StateApproved
	case *Observed:
		return StateObserved, s == StateNone
	case *StepStarted, *StepSucceeded, *StepFailed, *SnapshotTaken:
		return StateRunning, s == StateRunning
	case *Succeeded:
		return StateSucceeded, s == StateRunning
	case *Failed:
		return StateFailed, s == StateRunning
	case *Interrupted:
		return StateInterrupted, s == StateRunning
	case *Compensated:
		return s, s.Ran()
	case *LogOpened, *BaselineRecorded, *DriftDetected, *IndexesRefreshed, *GarbageCollected, *DeadLettered, *DeadLetterRetried, StandaloneFact:
		return s, false // not facts of a transaction
	}
	return s, false
}

// applySteps checks and records the order of steps: each starts after the one
// before it ended, and ends once.
func (t *Transaction) applySteps(f Fact) error {
	bad := func(i int) error {
		return &Error{
			Op: "events.Transaction.Apply", Kind: ErrCorrupt, Subject: string(t.ID),
			Err: fmt.Errorf("%s of step %d is out of order", f.Kind(), i),
		}
	}
	current := func(i int) (*StepRun, error) {
		if i != len(t.Steps)-1 || t.Steps[i].Done {
			return nil, bad(i)
		}
		return &t.Steps[i], nil
	}
	switch f := f.(type) {
	case *StepStarted:
		if f.Index != len(t.Steps) || f.Index > 0 && !t.Steps[f.Index-1].Done {
			return bad(f.Index)
		}
		t.Steps = append(t.Steps, StepRun{StepStarted: *f})
	case *StepSucceeded:
		s, err := current(f.Index)
		if err != nil {
			return err
		}
		s.Done, s.OK, s.Output, s.DurationMs = true, true, f.Output, f.DurationMs
	case *StepFailed:
		s, err := current(f.Index)
		if err != nil {
			return err
		}
		s.Done, s.Output, s.ExitCode, s.DurationMs, s.Failure = true, f.Output, f.ExitCode, f.DurationMs, &f.Failure
	default:
	}
	return nil
}

// applyData copies what the fact says.
func (t *Transaction) applyData(r Record, f Fact) {
	if e := EffectsOf(f); !e.Empty() {
		t.Changes, t.Files, t.Settings = e.Changes, e.Files, e.Settings
	}
	switch f := f.(type) {
	case *Requested:
		t.ID, t.Number, t.Intent = r.Transaction, f.Number, f.Intent
		t.Actor, t.Request, t.RequestedAt = r.Actor, r.ID, r.Time
	case *Planned:
		t.PlanID, t.Plan, t.InventoryHash, t.Denial = f.PlanID, f.Plan, f.InventoryHash, f.Denial
	case *Refused:
		t.Failure = &f.Failure
	case *Approved:
		t.ApprovedBy, t.ApprovedHow = r.Actor, f.How
	case *Denied:
		t.Failure = &Failure{Kind: ErrDenied, Subject: f.Rule, Message: f.Message}
	case *SnapshotTaken:
		t.Snapshots = append(t.Snapshots, *f)
	case *Succeeded:
	case *Failed:
		t.Failure = &f.Failure
	case *Observed:
		t.ID, t.Number, t.Actor, t.Request, t.RequestedAt = r.Transaction, f.Number, r.Actor, r.ID, r.Time
		t.Intent = Intent{Verb: VerbObserved, CommandLine: f.Command}
	case *Interrupted:
		t.Recovered = f.Recovered
		t.Failure = &Failure{Kind: ErrInterrupted, Message: f.Reason}
	case *Compensated:
		t.CompensatedBy, t.Exact, t.Residue = f.By, f.Exact, f.Residue
	case *Cancelled, *Started, *StepStarted, *StepSucceeded, *StepFailed,
		*LogOpened, *BaselineRecorded, *DriftDetected, *IndexesRefreshed, *GarbageCollected, *DeadLettered, *DeadLetterRetried, StandaloneFact:
	}
}

// maxCompensationDepth bounds how often an effect is followed through undo and redo.
const maxCompensationDepth = 1000

// IsUndone reports whether the transaction's effect is taken back now: it was
// undone, and that undo was not undone itself, and so on.
func IsUndone(ctx context.Context, log Log, t *Transaction) (bool, error) {
	undone := false
	for range maxCompensationDepth {
		if t.CompensatedBy == "" {
			return undone, nil
		}
		undone = !undone
		next, err := LoadTransaction(ctx, log, t.CompensatedBy)
		if err != nil {
			return undone, err
		}
		t = next
	}
	return undone, nil
}

// LoadTransaction folds one transaction from the log. One that has no facts is
// an ErrNotFound error.
func LoadTransaction(ctx context.Context, log Log, id TransactionID) (*Transaction, error) {
	t := &Transaction{}
	for r, err := range log.Read(ctx, Query{Filters: []string{FactFilter(log.Host(), TransactionSubject(id))}}) {
		if err != nil {
			return nil, fmt.Errorf("load transaction %s: %w", id, err)
		}
		if err := t.Apply(r); err != nil {
			return nil, err
		}
	}
	if t.State == StateNone {
		return nil, &Error{Op: "events.LoadTransaction", Kind: ErrNotFound, Subject: string(id), Hint: "see 'cortex history'"}
	}
	return t, nil
}
