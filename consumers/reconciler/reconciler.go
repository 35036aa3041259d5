// Package reconciler makes history and machine agree when the daemon starts.
//
// It promises, before any other consumer runs: the machine is on record (adopted
// on the first start); a transaction that was cut off is ended as what really
// happened, after dpkg was brought back to a consistent state; what changed while
// nobody watched is on record as drift. It never kills: an apt that is still
// running is waited for.
package reconciler

import (
	"context"
	"fmt"
	"strings"

	"cortex/consumers/keeper"
	"cortex/consumers/ledger"
	"cortex/consumers/scribe"
	"cortex/events"
)

// Machine is what the reconciler needs of apt and dpkg.
type Machine interface {
	Inventory(ctx context.Context) (events.Inventory, error)
	Recover(ctx context.Context) (did []string, err error)
}

// Keeper looks at what dpkg's package states do not tell; see keeper.Keeper.
type Keeper interface {
	Capture(ctx context.Context) (keeper.Image, error)
	Load(d events.Digest) (keeper.Image, error)
}

// Watch takes in what hooks saw; see observer.Observer.
type Watch interface {
	Ingest(ctx context.Context) error
	Pending() bool
}

// Reconciler compares at the start, and before a transaction runs.
type Reconciler struct {
	log     events.Log
	scribe  *scribe.Scribe
	ledger  *ledger.Ledger
	machine Machine
	keep    Keeper
	watch   Watch
}

// New returns a reconciler.
func New(s *scribe.Scribe, l *ledger.Ledger, m Machine, k Keeper, w Watch) *Reconciler {
	return &Reconciler{log: s.Log, scribe: s, ledger: l, machine: m, keep: k, watch: w}
}

// Run brings history up to date. It may take as long as an interrupted apt
// takes to end.
func (rc *Reconciler) Run(ctx context.Context) error {
	_, adopted, err := rc.ledger.Now(ctx)
	if err != nil {
		return err
	}
	if !adopted {
		return rc.adopt(ctx)
	}
	t, err := rc.unfinished(ctx)
	if err != nil {
		return err
	}
	if t != nil {
		return rc.Finish(ctx, t)
	}
	return rc.CatchUp(ctx)
}

// CatchUp records what others changed: what the hooks saw as transactions, the
// rest as drift. While a change that the hooks saw begin goes on, what it has done
// so far is not recorded.
func (rc *Reconciler) CatchUp(ctx context.Context) error {
	if err := rc.watch.Ingest(ctx); err != nil {
		return err
	}
	if rc.watch.Pending() {
		return nil
	}
	recorded, _, err := rc.ledger.Now(ctx)
	if err != nil {
		return err
	}
	now, err := rc.machine.Inventory(ctx)
	if err != nil {
		return err
	}
	changes := events.Diff(recorded, now)
	if len(changes) == 0 {
		return nil
	}
	_, err = rc.scribe.Append(ctx, scribe.Cause{}, events.MachineSubject(rc.log.Host()), &events.Drifted{Changes: changes}, events.Anything)
	return err
}

// Finish ends a transaction that is on record as running although nobody runs
// it: it brings dpkg back to a consistent state and records what is different.
func (rc *Reconciler) Finish(ctx context.Context, t *events.Transaction) error {
	// A recovery that fails leaves a broken package behind; what dpkg shows is
	// recorded all the same.
	did, failed := rc.machine.Recover(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if failed != nil {
		did = append(did, "failed: "+events.Tail(failed.Error(), events.MaxReasonBytes))
	}
	recorded, _, err := rc.ledger.Now(ctx)
	if err != nil {
		return err
	}
	now, err := rc.machine.Inventory(ctx)
	if err != nil {
		return err
	}
	effects := events.Effects{Changes: events.Diff(recorded, now)}
	if effects.Files, effects.Settings, err = rc.files(ctx, t); err != nil {
		did = append(did, "failed: "+events.Tail(err.Error(), events.MaxReasonBytes))
	}
	return rc.interrupt(ctx, t, effects, did)
}

// files compares with the image from before the first step that touched files.
func (rc *Reconciler) files(ctx context.Context, t *events.Transaction) ([]events.FileChange, []events.SettingChange, error) {
	if len(t.Prepared) == 0 {
		return nil, nil, nil
	}
	before, err := rc.keep.Load(t.Prepared[0].Image)
	if err != nil {
		return nil, nil, err
	}
	after, err := rc.keep.Capture(ctx)
	if err != nil {
		return nil, nil, err
	}
	files, settings := keeper.Diff(before, after)
	return files[:min(len(files), events.MaxFilesPerEvent)], settings[:min(len(settings), events.MaxSettingsPerEvent)], nil
}

func (rc *Reconciler) adopt(ctx context.Context) error {
	now, err := rc.machine.Inventory(ctx)
	if err != nil {
		return err
	}
	subject := events.MachineSubject(rc.log.Host())
	_, err = rc.scribe.Append(ctx, scribe.Cause{}, subject, &events.Adopted{Packages: now.Packages()}, events.Anything)
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

func (rc *Reconciler) interrupt(ctx context.Context, t *events.Transaction, e events.Effects, did []string) error {
	reason := "cortex was stopped before anything had run"
	if n := len(t.Steps); n > 0 {
		reason = fmt.Sprintf("cortex was stopped during step %d of %d (%s)", n, len(t.Plan.Steps), strings.Join(t.Steps[n-1].Argv, " "))
		if t.Steps[n-1].Done {
			reason = fmt.Sprintf("cortex was stopped after step %d of %d", n, len(t.Plan.Steps))
		}
	}
	cause := scribe.Cause{Transaction: t.ID, Record: events.Record{Event: events.Event{ID: t.Request, Correlation: t.Request}}}
	_, err := rc.scribe.Transaction(ctx, cause, t, &events.Interrupted{
		Changes: e.Changes, Files: e.Files, Settings: e.Settings, Recovered: did, Reason: events.Tail(reason, events.MaxReasonBytes),
	})
	return err
}
