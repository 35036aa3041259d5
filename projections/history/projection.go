package history

import (
	_ "embed"

	"cortex/events"
	"cortex/projections"
)

// Name is the read model's name, and its file's.
const Name = "history"

// Version is the version of the tables.
const Version = 3

//go:embed schema.sql
var schema string

// Projection writes the read model.
type Projection struct{}

var _ projections.Projection = Projection{}

// Name implements [projections.Projection].
func (Projection) Name() string { return Name }

// Version implements [projections.Projection].
func (Projection) Version() int { return Version }

// Schema implements [projections.Projection].
func (Projection) Schema() string { return schema }

// Apply implements [projections.Projection].
func (Projection) Apply(tx *projections.Tx, r events.Record, f events.Fact) error {
	a := applier{tx, r}
	switch f := f.(type) {
	case *events.Requested:
		return a.requested(f)
	case *events.Planned:
		return a.planned(f)
	case *events.Refused:
		return a.endWithoutRun(events.StateRefused, f.Failure, events.StateRequested, events.StatePlanned, events.StateApproved)
	case *events.Approved:
		return a.approved(f)
	case *events.Denied:
		return a.endWithoutRun(events.StateDenied, events.Failure{Kind: events.ErrDenied, Subject: f.Rule, Message: f.Message}, events.StatePlanned, events.StateApproved)
	case *events.Cancelled:
		why := events.Failure{Kind: events.ErrCancelled, Message: f.Reason}
		return a.endWithoutRun(events.StateCancelled, why, events.StateRequested, events.StatePlanned)
	case *events.Started:
		return a.started()
	case *events.SnapshotTaken:
		return a.snapshotTaken(f)
	case *events.Observed:
		return a.observed(f)
	case *events.StepStarted:
		return a.stepStarted(f)
	case *events.StepSucceeded:
		return a.stepEnded(f.Index, stepEnd{ok: true, output: f.Output, ms: f.DurationMs})
	case *events.StepFailed:
		return a.stepEnded(f.Index, stepEnd{exit: f.ExitCode, output: f.Output, failure: &f.Failure, ms: f.DurationMs})
	case *events.Succeeded:
		return a.recordRunEnd(events.StateSucceeded, events.EffectsOf(f), events.Failure{})
	case *events.Failed:
		return a.recordRunEnd(events.StateFailed, events.EffectsOf(f), f.Failure)
	case *events.Interrupted:
		return a.interrupted(f)
	case *events.Compensated:
		return a.compensated(f)
	case *events.DeadLettered:
		return a.deadLettered(f)
	case *events.DeadLetterRetried:
		return a.deadLetterRetried(f)
	case *events.LogOpened, *events.BaselineRecorded, *events.DriftDetected, *events.IndexesRefreshed, *events.GarbageCollected, *events.Unknown, events.StandaloneFact:
		return nil // not of a transaction
	}
	return nil
}
