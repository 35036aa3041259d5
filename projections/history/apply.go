package history

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cortex/events"
)

// errNoTransaction is the error of a fact that lacks the number or id of its transaction.
var errNoTransaction = errors.New("the number or id of the transaction is missing")

func (a applier) requested(f *events.Requested) error {
	if f.Number <= 0 || a.r.Transaction == "" {
		return errNoTransaction
	}
	x := transactionContext{number: f.Number, verb: f.Verb, target: f.Target}
	for _, p := range f.Packages {
		x.names = append(x.names, string(p.Name))
	}
	if f.Target != "" {
		target, err := a.find(f.Target)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		x.targetNumber, x.names = target.number, target.names
	}
	by := a.r.Actor
	err := a.execOne(`INSERT INTO transactions (number, id, verb, state, requested_at, uid, user, login_uid, sudo_user, tty, program, pid,
		words, dry_run, names, summary, target, target_number) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		f.Number, string(a.r.Transaction), string(f.Verb), string(events.StateRequested), a.nanos(), by.UID, by.User, by.LoginUID,
		by.SudoUser, by.TTY, by.Program, by.PID, f.CommandLine, f.DryRun, strings.Join(x.names, " "), summary(x, nil),
		string(f.Target), x.targetNumber)
	if err != nil {
		return err
	}
	if err := a.execOne(`INSERT INTO details (number, request, packages, options, chosen) VALUES (?, ?, ?, ?, ?)`,
		f.Number, string(a.r.ID), jsonList(f.Packages), toJSON(f.Options), jsonList(f.Chosen)); err != nil {
		return err
	}
	return a.indexPackages(f.Number, x.names)
}

func (a applier) planned(f *events.Planned) error {
	x, err := a.requireState(events.StateRequested)
	if err != nil {
		return err
	}
	var names []string
	var values []any
	for i, c := range f.Plan.Changes {
		names = append(names, string(c.Name))
		values = append(values, x.number, i, string(c.Name), string(c.Arch), string(c.Action), string(c.From), string(c.To),
			c.Automatic, c.Origin, c.DownloadBytes, c.Essential, c.DiskDelta)
	}
	if err := errors.Join(a.insert("INSERT INTO plan_changes", 12, values), a.indexPackages(x.number, names)); err != nil {
		return err
	}
	if err := a.execOne(`UPDATE details SET plan_base = ?, plan_download_b = ?, plan_disk_b = ?, plan_steps = ?, plan_residue = ?, plan_notes = ?,
		plan_risks = ?, plan_undoes = ? WHERE number = ?`, f.InventoryHash, f.Plan.DownloadBytes, f.Plan.DiskDelta, jsonList(f.Plan.Steps), jsonList(f.Plan.Residue), jsonList(f.Plan.Notes),
		jsonList(f.Plan.Risks), jsonList(f.Plan.Undoes), x.number); err != nil {
		return err
	}
	return a.execOne(`UPDATE transactions SET state = ?, plan_id = ?, summary = ?, counts = ? WHERE number = ?`,
		string(events.StatePlanned), string(f.PlanID), summary(x, names), countPlan(f.Plan.Changes).encode(), x.number)
}

func (a applier) approved(f *events.Approved) error {
	if err := a.execInState(`UPDATE transactions SET state = 'approved' WHERE id = ? AND state = 'planned'`, string(a.r.Transaction)); err != nil {
		return err
	}
	return a.execOne(`UPDATE details SET approved_by = ?, approved_how = ?, approved_at = ? WHERE number = (SELECT number FROM transactions WHERE id = ?)`,
		toJSON(a.r.Actor), f.How, a.nanos(), string(a.r.Transaction))
}

func (a applier) refused(f *events.Refused) error {
	return a.endWithoutRun(events.StateRefused, f.Failure, events.StateRequested, events.StatePlanned, events.StateApproved)
}

func (a applier) denied(f *events.Denied) error {
	why := events.Failure{Kind: events.ErrDenied, Subject: f.Rule, Message: f.Message}
	return a.endWithoutRun(events.StateDenied, why, events.StatePlanned, events.StateApproved)
}

func (a applier) cancelled(f *events.Cancelled) error {
	why := events.Failure{Kind: events.ErrCancelled, Message: f.Reason}
	return a.endWithoutRun(events.StateCancelled, why, events.StateRequested, events.StatePlanned)
}

// endWithoutRun ends a transaction before it runs.
func (a applier) endWithoutRun(to events.TransactionState, why events.Failure, from ...events.TransactionState) error {
	states := append(slices.Clone(from), make([]events.TransactionState, 3-len(from))...) // "" matches no state
	return a.execInState(`UPDATE transactions SET state = ?, ended_at = ?, failure_kind = ?, failure_subject = ?, failure_message = ?, failure_hint = ?
		WHERE id = ? AND state IN (?, ?, ?)`, string(to), a.nanos(), string(why.Kind), why.Subject, why.Message, why.Hint,
		string(a.r.Transaction), string(states[0]), string(states[1]), string(states[2]))
}

func (a applier) deadLettered(f *events.DeadLettered) error {
	return a.execOne(`INSERT INTO parked (id, position, parked_at, txn, handler, stream, stream_position, event, kind, failure, attempts)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, string(a.r.ID), int64(a.r.Position), a.nanos(), string(a.r.Transaction),
		f.Handler, f.Stream, int64(f.StreamPosition), string(f.EventID), string(f.EventKind), toJSON(f.Failure), f.Attempts)
}

func (a applier) deadLetterRetried(f *events.DeadLetterRetried) error {
	if err := a.execOne(`UPDATE parked SET retried_at = ? WHERE id = ? AND retried_at = 0`, a.nanos(), string(f.DeadLetter)); err != nil {
		return fmt.Errorf("retry of event %s: %w", f.DeadLetter, err)
	}
	return nil
}
