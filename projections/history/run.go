package history

import (
	"cortex/events"
)

func (a applier) started(*events.Started) error {
	return a.execInState(`UPDATE transactions SET state = 'running', started_at = ? WHERE id = ? AND state = 'approved'`, a.nanos(), string(a.r.Transaction))
}

// snapshotTaken stores the names of the versions that could not be stored.
func (a applier) snapshotTaken(f *events.SnapshotTaken) error {
	if len(f.NotStored) == 0 {
		return nil
	}
	return a.execInState(`UPDATE details SET lost = ? WHERE number = (SELECT number FROM transactions WHERE id = ? AND state = 'running')`, jsonList(f.NotStored), string(a.r.Transaction))
}

// stepStarted inserts the next step. The previous step must have ended.
func (a applier) stepStarted(f *events.StepStarted) error {
	return a.execInState(`INSERT INTO steps (number, step, op, argv, started_at) SELECT x.number, ?1, ?2, ?3, ?4 FROM transactions x
		WHERE x.id = ?5 AND x.state = 'running' AND ?1 = (SELECT count(*) FROM steps s WHERE s.number = x.number AND s.ended_at <> 0)`,
		f.Index, string(f.Op), jsonList(f.Argv), a.nanos(), string(a.r.Transaction))
}

func (a applier) stepSucceeded(f *events.StepSucceeded) error {
	return a.stepEnded(f.Index, stepEnd{ok: true, output: f.Output, ms: f.DurationMs})
}

func (a applier) stepFailed(f *events.StepFailed) error {
	return a.stepEnded(f.Index, stepEnd{exit: f.ExitCode, output: f.Output, failure: &f.Failure, ms: f.DurationMs})
}

// stepEnd is the outcome of a step.
type stepEnd struct {
	ok      bool
	exit    int
	output  string
	failure *events.Failure
	ms      int64
}

func (a applier) stepEnded(index int, end stepEnd) error {
	failure := ""
	if end.failure != nil {
		failure = toJSON(end.failure)
	}
	return a.execInState(`UPDATE steps SET ended_at = ?, ok = ?, exit_code = ?, output = ?, failure = ?, duration_ms = ?
		WHERE number = (SELECT number FROM transactions WHERE id = ? AND state = 'running') AND step = ? AND ended_at = 0`,
		a.nanos(), end.ok, end.exit, end.output, failure, end.ms, string(a.r.Transaction), index)
}

func (a applier) succeeded(f *events.Succeeded) error {
	return a.recordRunEnd(events.StateSucceeded, events.EffectsOf(f), events.Failure{})
}

func (a applier) failed(f *events.Failed) error {
	return a.recordRunEnd(events.StateFailed, events.EffectsOf(f), f.Failure)
}

func (a applier) interrupted(f *events.Interrupted) error {
	if err := a.recordRunEnd(events.StateInterrupted, events.EffectsOf(f), events.Failure{Kind: events.ErrInterrupted, Message: f.Reason}); err != nil {
		return err
	}
	return a.execOne(`UPDATE details SET recovered = ? WHERE number = (SELECT number FROM transactions WHERE id = ?)`, jsonList(f.Recovered), string(a.r.Transaction))
}
