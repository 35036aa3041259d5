// Package recovery makes history and machine agree when the daemon starts.
//
// It promises that, before any handler runs:
//
//   - The log has an inventory of the machine: the first start records a baseline.
//   - A transaction that was cut off has an end that tells what changed, after dpkg
//     was brought back to a consistent state.
//   - Changes that were made while no daemon ran are recorded.
//
// It kills nothing: it waits for an apt that is still running.
package recovery

import (
	"context"
	"fmt"
	"strings"

	"cortex/consumers/inventory"
	"cortex/consumers/machine/confstate"
	"cortex/consumers/recorder"
	"cortex/events"
)

// DpkgRecoverer reads package states and repairs an interrupted dpkg; apt.Machine
// implements it.
type DpkgRecoverer interface {
	Inventory(ctx context.Context) (events.Inventory, error)
	Recover(ctx context.Context) (did []string, err error)
}

// SnapshotReader captures and loads configuration files and settings;
// confstate.Snapshots implements it.
type SnapshotReader interface {
	Capture(ctx context.Context) (confstate.Snapshot, error)
	Load(d events.Digest) (confstate.Snapshot, error)
}

// ExternalChanges records the changes that hooks observed; external.Importer
// implements it.
type ExternalChanges interface {
	Ingest(ctx context.Context) error
	InProgress() bool
}

// Reconciler compares history and machine at the start, and before a transaction runs.
type Reconciler struct {
	log       events.Log
	recorder  *recorder.Recorder
	inventory *inventory.Tracker
	machine   DpkgRecoverer
	snapshots SnapshotReader
	external  ExternalChanges
}

// New returns a reconciler.
func New(s *recorder.Recorder, l *inventory.Tracker, m DpkgRecoverer, k SnapshotReader, w ExternalChanges) *Reconciler {
	return &Reconciler{log: s.Log, recorder: s, inventory: l, machine: m, snapshots: k, external: w}
}

// Run brings history up to date. It may take as long as an interrupted apt takes to
// end.
func (rc *Reconciler) Run(ctx context.Context) error {
	_, hasBaseline, err := rc.inventory.Current(ctx)
	if err != nil {
		return err
	}
	if !hasBaseline {
		return rc.recordBaseline(ctx)
	}
	t, err := rc.unfinished(ctx)
	if err != nil {
		return err
	}
	if t != nil {
		return rc.FinishInterrupted(ctx, t)
	}
	return rc.CatchUp(ctx)
}

// CatchUp records changes that were made outside Cortex: observations of the hooks as
// transactions, other changes as drift. While an observed change is in progress, no
// drift is recorded.
func (rc *Reconciler) CatchUp(ctx context.Context) error {
	if err := rc.external.Ingest(ctx); err != nil {
		return err
	}
	if rc.external.InProgress() {
		return nil
	}
	changes, err := rc.unrecordedChanges(ctx)
	if err != nil || len(changes) == 0 {
		return err
	}
	_, err = rc.recorder.Append(ctx, recorder.Cause{}, events.MachineSubject(rc.log.Host()), &events.DriftDetected{Changes: changes}, events.NoExpectation)
	return err
}

// unrecordedChanges compares the packages that the log has with those of the machine.
func (rc *Reconciler) unrecordedChanges(ctx context.Context) ([]events.PackageChange, error) {
	recorded, _, err := rc.inventory.Current(ctx)
	if err != nil {
		return nil, err
	}
	now, err := rc.machine.Inventory(ctx)
	if err != nil {
		return nil, err
	}
	return events.DiffInventories(recorded, now), nil
}

// FinishInterrupted ends a transaction that is on record as running although nobody runs
// it: it brings dpkg back to a consistent state and records what is different.
func (rc *Reconciler) FinishInterrupted(ctx context.Context, t *events.Transaction) error {
	// A repair that fails leaves a broken package behind. The difference that dpkg
	// shows is recorded anyway.
	did, failed := rc.machine.Recover(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if failed != nil {
		did = append(did, "failed: "+events.Tail(failed.Error(), events.MaxReasonBytes))
	}
	changes, err := rc.unrecordedChanges(ctx)
	if err != nil {
		return err
	}
	effects := events.Effects{Changes: changes}
	if effects.Files, effects.Settings, err = rc.changedFiles(ctx, t); err != nil {
		did = append(did, "failed: "+events.Tail(err.Error(), events.MaxReasonBytes))
	}
	return rc.recordInterrupted(ctx, t, effects, did)
}

// changedFiles compares the machine with the snapshot from before the first step that
// touched files.
func (rc *Reconciler) changedFiles(ctx context.Context, t *events.Transaction) ([]events.FileChange, []events.SettingChange, error) {
	if len(t.Snapshots) == 0 {
		return nil, nil, nil
	}
	before, err := rc.snapshots.Load(t.Snapshots[0].Snapshot)
	if err != nil {
		return nil, nil, err
	}
	after, err := rc.snapshots.Capture(ctx)
	if err != nil {
		return nil, nil, err
	}
	files, settings := confstate.Diff(before, after)
	return files[:min(len(files), events.MaxFilesPerEvent)], settings[:min(len(settings), events.MaxSettingsPerEvent)], nil
}

func (rc *Reconciler) recordBaseline(ctx context.Context) error {
	now, err := rc.machine.Inventory(ctx)
	if err != nil {
		return err
	}
	subject := events.MachineSubject(rc.log.Host())
	_, err = rc.recorder.Append(ctx, recorder.Cause{}, subject, &events.BaselineRecorded{Packages: now.Packages()}, events.NoExpectation)
	return err
}

// unfinished returns the transaction that was running when the daemon ended, or nil.
// The executor runs one at a time, so only the last that started can be it.
func (rc *Reconciler) unfinished(ctx context.Context) (*events.Transaction, error) {
	last, ok, err := rc.log.Last(ctx, events.KindFilter(rc.log.Host(), events.KindStarted))
	if err != nil || !ok {
		return nil, err
	}
	t, err := events.LoadTransaction(ctx, rc.log, last.Transaction)
	if err != nil {
		return nil, err
	}
	if t.State != events.StateRunning {
		return nil, nil
	}
	return t, nil
}

func (rc *Reconciler) recordInterrupted(ctx context.Context, t *events.Transaction, e events.Effects, did []string) error {
	reason := "cortex was stopped before the first step"
	if n := len(t.Steps); n > 0 {
		reason = fmt.Sprintf("cortex was stopped during step %d of %d (%s)", n, len(t.Plan.Steps), strings.Join(t.Steps[n-1].Argv, " "))
		if t.Steps[n-1].Done {
			reason = fmt.Sprintf("cortex was stopped after step %d of %d", n, len(t.Plan.Steps))
		}
	}
	cause := recorder.Cause{Transaction: t.ID, Record: events.Record{Event: events.Event{ID: t.Request, Correlation: t.Request}}}
	_, err := rc.recorder.AppendToTransaction(ctx, cause, t, &events.Interrupted{
		Changes: e.Changes, Files: e.Files, Settings: e.Settings, Recovered: did, Reason: events.Tail(reason, events.MaxReasonBytes),
	})
	return err
}
