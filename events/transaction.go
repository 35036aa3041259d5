package events

import (
	"context"
	"fmt"
	"time"
)

// TransactionState is the state of a transaction.
type TransactionState string

// The states. Those from refused on are final, except that a transaction with changes
// may still be compensated.
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
	StateObserved    TransactionState = "observed" // made outside Cortex
)

// TransactionStates lists every state but StateNone.
var TransactionStates = []TransactionState{
	StateRequested, StatePlanned, StateApproved, StateRunning, StateRefused, StateDenied,
	StateCancelled, StateSucceeded, StateFailed, StateInterrupted, StateObserved,
}

// Ended reports whether the state is final.
func (s TransactionState) Ended() bool {
	switch s {
	case StateRefused, StateDenied, StateCancelled, StateSucceeded, StateFailed, StateInterrupted, StateObserved:
		return true
	case StateNone, StateRequested, StatePlanned, StateApproved, StateRunning:
		return false
	}
	return false
}

// Ran reports whether the transaction has ended and may have had effects.
func (s TransactionState) Ran() bool {
	return s == StateSucceeded || s == StateFailed || s == StateInterrupted || s == StateObserved
}

// StepRun is one executed step.
type StepRun struct {
	StepStarted
	Done       bool
	OK         bool
	Output     string
	ExitCode   int
	Failure    *Failure
	DurationMs int64
}

// Transaction is the pure fold of one transaction's facts: a state machine that refuses
// impossible orders. The zero value is ready to use. It is not safe for concurrent use.
type Transaction struct {
	ID            TransactionID
	Number        int
	State         TransactionState
	Intent        Intent
	Actor         Actor // of the request
	Request       ID    // the event that opened it
	RequestedAt   time.Time
	EndedAt       time.Time
	PlanID        PlanID
	Plan          Plan
	InventoryHash string // of the inventory that the plan was made on
	ApprovedBy    Actor
	ApprovedHow   string
	Denial        *Denial // the rule that forbids the plan; an approval is not possible
	Steps         []StepRun
	Snapshots     []SnapshotTaken // stored for an undo, in the order of the steps
	Changes       []PackageChange
	Files         []FileChange
	Settings      []SettingChange
	Failure       *Failure // why it was refused or failed
	Recovered     []string
	CompensatedBy TransactionID
	Exact         bool
	Residue       []string
	LastPosition  Position // of its latest fact
	// UnknownKinds are its events whose kind or version this Cortex does not know, and
	// UnknownFields its events that an undo needs and that have an unknown field.
	UnknownKinds  []UnknownEvent
	UnknownFields []UnknownEvent
}

// Undoable reports whether the transaction made changes that are not undone yet.
func (t *Transaction) Undoable() bool {
	return t.State.Ran() && !t.Effects().Empty() && t.CompensatedBy == ""
}

// Effects returns the changes that the transaction made.
func (t *Transaction) Effects() Effects {
	return Effects{Changes: t.Changes, Files: t.Files, Settings: t.Settings}
}

// UndoBlocker is the first event that makes an undo of the transaction impossible for
// this version of Cortex, because an undo may need it; ok is false when there is none.
func (t *Transaction) UndoBlocker() (u UnknownEvent, ok bool) {
	for _, u := range t.UnknownKinds {
		if UndoMayNeed(u.Kind) {
			return u, true
		}
	}
	return UnknownEvent{}, false
}

// Apply folds one record of the transaction. An order that cannot happen is an
// ErrCorrupt error and leaves t unchanged. A record at or before t.LastPosition is
// skipped, so that applying twice is applying once.
//
// An event of an unknown kind changes nothing but t.UnknownKinds. An unknown version
// of a known kind also moves the state as the known version does; its data are not
// read. After such an event the order of the following ones cannot be checked
// completely, so that any order is accepted until the transaction has ended.
func (t *Transaction) Apply(r Record) error {
	if r.Position <= t.LastPosition {
		return nil
	}
	f, unknownField, err := standardRegistry().decode(r.Event)
	if err != nil {
		return err
	}
	if u, ok := f.(*UnknownFact); ok {
		t.applyUnknown(r, u)
		return nil
	}
	next, ok := transition(t.State, f)
	if !ok && len(t.UnknownKinds) > 0 && !t.State.Ended() {
		ok = belongsToTransaction(r.Kind)
	}
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
	if unknownField != "" && UndoMayNeed(r.Kind) {
		t.UnknownFields = append(t.UnknownFields, UnknownEvent{Position: r.Position, Kind: r.Kind, Field: unknownField, CortexVersion: r.CortexVersion})
	}
	t.moveTo(next, r)
	return nil
}

// applyUnknown takes note of an event that cannot be decoded.
func (t *Transaction) applyUnknown(r Record, u *UnknownFact) {
	t.UnknownKinds = append(t.UnknownKinds, UnknownEvent{Position: r.Position, Kind: r.Kind, CortexVersion: r.CortexVersion})
	if t.ID == "" {
		t.ID, t.Number = r.Transaction, u.Number()
		t.Actor, t.Request, t.RequestedAt = r.Actor, r.ID, r.Time
	}
	next := t.State
	if known, ok := u.knownVersion(); ok && known.Noun == nounTransaction && !t.State.Ended() {
		next, _ = transition(t.State, known.Fact())
	}
	t.moveTo(next, r)
}

func (t *Transaction) moveTo(next TransactionState, r Record) {
	t.State, t.LastPosition = next, r.Position
	if next.Ended() && t.EndedAt.IsZero() {
		t.EndedAt = r.Time
	}
}

// belongsToTransaction reports whether facts of the kind are about a transaction.
func belongsToTransaction(k Kind) bool {
	return standardRegistry().facts[k].Noun == nounTransaction
}

// transition is the whole state machine: the state after f, and whether f may follow s.
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
	case *LogOpened, *BaselineRecorded, *DriftDetected, *IndexesRefreshed, *GarbageCollected, *DeadLettered, *DeadLetterRetried, *UnknownFact, StandaloneFact:
		return s, false // not facts of a transaction
	}
	return s, false
}

// applySteps checks and records the order of steps: each starts after the one
// before it ended, and ends once. A step that follows an unknown event out of this
// order is not recorded.
func (t *Transaction) applySteps(f Fact) error {
	switch f := f.(type) {
	case *StepStarted:
		if f.Index != len(t.Steps) || f.Index > 0 && !t.Steps[f.Index-1].Done {
			return t.stepOutOfOrder(f, f.Index)
		}
		t.Steps = append(t.Steps, StepRun{StepStarted: *f})
	case *StepSucceeded:
		s := t.runningStep(f.Index)
		if s == nil {
			return t.stepOutOfOrder(f, f.Index)
		}
		s.Done, s.OK, s.Output, s.DurationMs = true, true, f.Output, f.DurationMs
	case *StepFailed:
		s := t.runningStep(f.Index)
		if s == nil {
			return t.stepOutOfOrder(f, f.Index)
		}
		s.Done, s.Output, s.ExitCode, s.DurationMs, s.Failure = true, f.Output, f.ExitCode, f.DurationMs, &f.Failure
	default:
	}
	return nil
}

// runningStep is the step with that index when it is the one that runs, or nil.
func (t *Transaction) runningStep(index int) *StepRun {
	if index < 0 || index != len(t.Steps)-1 || t.Steps[index].Done {
		return nil
	}
	return &t.Steps[index]
}

func (t *Transaction) stepOutOfOrder(f Fact, index int) error {
	if len(t.UnknownKinds) > 0 {
		return nil
	}
	return &Error{
		Op: "events.Transaction.Apply", Kind: ErrCorrupt, Subject: string(t.ID),
		Err: fmt.Errorf("%s of step %d is out of order", f.Kind(), index),
	}
}

// applyData copies the data of the fact.
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
		*LogOpened, *BaselineRecorded, *DriftDetected, *IndexesRefreshed, *GarbageCollected, *DeadLettered, *DeadLetterRetried, *UnknownFact, StandaloneFact:
	}
}

// maxCompensationDepth bounds how often an effect is followed through undo and redo.
const maxCompensationDepth = 1000

// IsUndone reports whether the transaction is undone now: it was undone, and that undo
// was not undone in turn.
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

// LoadTransaction folds one transaction from the log. The error is ErrNotFound when the
// log has no facts of it.
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
	if t.LastPosition == 0 {
		return nil, &Error{Op: "events.LoadTransaction", Kind: ErrNotFound, Subject: string(id), Hint: "see 'cortex history'"}
	}
	return t, nil
}
