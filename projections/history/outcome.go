package history

import (
	"database/sql"
	"errors"
	"slices"

	"cortex/events"
)

// recordRunEnd stores the outcome of the running transaction.
func (a applier) recordRunEnd(to events.TransactionState, e events.Effects, why events.Failure) error {
	x, err := a.requireState(events.StateRunning)
	if err != nil {
		return err
	}
	return a.recordOutcome(x, to, e, why)
}

// recordOutcome stores the changes and ends the transaction.
func (a applier) recordOutcome(x transactionContext, to events.TransactionState, e events.Effects, why events.Failure) error {
	changes := e.Changes
	var err error
	var actions map[events.PackageKey]events.Action
	if slices.ContainsFunc(changes, needsPlannedAction) {
		if actions, err = a.plannedActions(x.number); err != nil {
			return err
		}
	}
	var names []string
	var values []any
	for _, c := range changes {
		names = append(names, string(c.Name))
		b, f := c.Before, c.After
		values = append(values, x.number, string(c.Name), string(c.Arch), int64(a.r.Position),
			string(b.Version), string(b.Want), string(b.Flag), string(b.Status), b.Auto,
			string(f.Version), string(f.Want), string(f.Flag), string(f.Status), f.Auto)
	}
	if err := errors.Join(a.insert("INSERT INTO changes", 14, values), a.indexPackages(x.number, names), a.insertConfigChanges(x.number, e)); err != nil {
		return err
	}
	return a.execOne(`UPDATE transactions SET state = ?, ended_at = ?, ended_position = ?, summary = ?, counts = ?, changed = ?, files = ?, settings = ?,
		failure_kind = ?, failure_subject = ?, failure_message = ?, failure_hint = ? WHERE number = ?`,
		string(to), a.nanos(), int64(a.r.Position), summary(x, names), countChanges(changes, actions).encode(), len(changes), len(e.Files), len(e.Settings),
		string(why.Kind), why.Subject, why.Message, why.Hint, x.number)
}

// insertConfigChanges stores the changes of files and settings.
func (a applier) insertConfigChanges(number int, e events.Effects) error {
	var files, settings []any
	for _, c := range e.Files {
		files = append(files, number, c.Path, int64(a.r.Position), toJSON(c.Before), toJSON(c.After))
	}
	for _, c := range e.Settings {
		settings = append(settings, number, string(c.Kind), c.Name, c.Before, c.After)
	}
	return errors.Join(a.insert("INSERT INTO files", 5, files), a.insert("INSERT INTO settings", 5, settings))
}

// observed stores a whole transaction from one fact.
func (a applier) observed(f *events.Observed) error {
	if f.Number <= 0 || a.r.Transaction == "" {
		return errNoTransaction
	}
	started := int64(0)
	if !f.Started.IsZero() {
		started = f.Started.UnixNano()
	}
	x, by := transactionContext{number: f.Number, verb: events.VerbObserved}, a.r.Actor
	err := a.execOne(`INSERT INTO transactions (number, id, verb, state, requested_at, started_at, uid, user, login_uid, sudo_user, tty, program, pid,
		words, dry_run, names, summary) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '', '')`,
		f.Number, string(a.r.Transaction), string(events.VerbObserved), string(events.StateObserved), a.nanos(), started,
		by.UID, by.User, by.LoginUID, by.SudoUser, by.TTY, by.Program, by.PID, f.Command)
	if err != nil {
		return err
	}
	if err := a.execOne(`INSERT INTO details (number, request, packages, options) VALUES (?, ?, '', ?)`, f.Number, string(a.r.ID), toJSON(events.Options{})); err != nil {
		return err
	}
	return a.recordOutcome(x, events.StateObserved, events.EffectsOf(f), events.Failure{})
}

// plannedActions returns the actions of the plan that the states before and after do not
// show.
func (a applier) plannedActions(number int) (map[events.PackageKey]events.Action, error) {
	out := map[events.PackageKey]events.Action{}
	err := a.tx.Each(`SELECT name, arch, action FROM plan_changes WHERE number = ? AND action IN ('downgrade', 'purge')`, []any{number}, func(rows *sql.Rows) error {
		var k events.PackageKey
		var action events.Action
		err := rows.Scan(&k.Name, &k.Arch, &action)
		out[k] = action
		return err
	})
	return out, err
}
