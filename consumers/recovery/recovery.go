// Package recovery makes history and machine agree when the daemon starts.
//
// It promises, before any other consumer runs: the machine is on record (adopted
// on the first start); a transaction that was cut off is ended as what really
// happened, after dpkg was brought back to a consistent state; what changed while
// nobody watched is on record as drift. It never kills: an apt that is still
// running is waited for.
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

// Reconciler compares at the start, and before a transaction runs.
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

// Run brings history up to date. It may take as long as an interrupted apt
// takes to end.
func (rc *Reconciler) Run(ctx context.Context) error {
	_, adopted, err := rc.inventory.Current(ctx)
	if err != nil {
		return err
	}
	if !adopted {
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

// CatchUp records what others changed: what the hooks saw as transactions, the
// rest as drift. While a change that the hooks saw begin goes on, what it has done
// so far is not recorded.
func (rc *Reconciler) CatchUp(ctx context.Context) error {
	if err := rc.external.Ingest(ctx); err != nil {
		return err
	}
	if rc.external.InProgress() {
		return nil
	}
	recorded, _, err := rc.inventory.Current(ctx)
	if err != nil {
		return err
	}
	now, err := rc.machine.Inventory(ctx)
	if err != nil {
		return err
	}
	changes := events.DiffInventories(recorded, now)
	if len(changes) == 0 {
		return nil
	}
	_, err = rc.recorder.Append(ctx, recorder.Cause{}, events.MachineSubject(rc.log.Host()), &events.DriftDetected{Changes: changes}, events.NoExpectation)
	return err
}

// FinishInterrupted ends a transaction that is on record as running although nobody runs
// it: it brings dpkg back to a consistent state and records what is different.
func (rc *Reconciler) FinishInterrupted(ctx context.Context, t *events.Transaction) error {
	// A recovery that fails leaves a broken package behind; what dpkg shows is
	// recorded all the same.
	did, failed := rc.machine.Recover(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if failed != nil {
		did = append(did, "failed: "+events.Tail(failed.Error(), events.MaxReasonBytes))
	}
	recorded, _, err := rc.inventory.Current(ctx)
	if err != nil {
		return err
	}
	now, err := rc.machine.Inventory(ctx)
	if err != nil {
		return err
	}
	effects := events.Effects{Changes: events.DiffInventories(recorded, now)}
	if effects.Files, effects.Settings, err = rc.changedFiles(ctx, t); err != nil {
		did = append(did, "failed: "+events.Tail(err.Error(), events.MaxReasonBytes))
	}
	return rc.recordInterrupted(ctx, t, effects, did)
}

// changedFiles compares with the image from before the first step that touched files.
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

// unfinished finds the transaction that was running when the daemon went away.
// There is at most one: the executor runs one at a time, so only the last that
// started can be it.
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
	reason := "cortex was stopped before anything had run"
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
