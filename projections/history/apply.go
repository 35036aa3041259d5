package history

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cortex/events"
	"cortex/projections"
)

// applier applies one record.
type applier struct {
	tx *projections.Tx
	r  events.Record
}

// transactionContext is what applying needs of a transaction.
type transactionContext struct {
	number       int
	verb         events.Verb
	state        events.TransactionState
	names        []string
	targetNumber int
	target       events.TransactionID
}

// nanos is a time as it is stored.
func (a applier) nanos() int64 { return a.r.Time.UnixNano() }

func (a applier) find(id events.TransactionID) (transactionContext, error) {
	var x transactionContext
	var names string
	err := a.tx.QueryRow(`SELECT number, verb, state, names, target, target_number FROM transactions WHERE id = ?`,
		[]any{string(id)}, &x.number, &x.verb, &x.state, &names, &x.target, &x.targetNumber)
	x.names = strings.Fields(names)
	return x, err
}

// requireState finds the record's transaction and wants it in one of the states; the
// log's own rules make anything else a fact that should not be there.
func (a applier) requireState(states ...events.TransactionState) (transactionContext, error) {
	x, err := a.find(a.r.Transaction)
	if errors.Is(err, sql.ErrNoRows) {
		return x, fmt.Errorf("no transaction %q was requested", a.r.Transaction)
	}
	if err == nil && !slices.Contains(states, x.state) {
		err = fmt.Errorf("transaction %d is %s", x.number, x.state)
	}
	return x, err
}

// execInState runs a statement that changes exactly one row when the record's
// transaction is in the state that the statement asks for; see expect.
func (a applier) execInState(query string, args ...any) error {
	n, err := a.tx.Exec(query, args...)
	if err != nil || n == 1 {
		return err
	}
	x, err := a.requireState()
	if x.number != 0 {
		return fmt.Errorf("transaction %d, which is %s, cannot have this fact", x.number, x.state)
	}
	return err
}

// execOne runs a statement that must change exactly one row.
func (a applier) execOne(query string, args ...any) error {
	n, err := a.tx.Exec(query, args...)
	if err == nil && n != 1 {
		err = fmt.Errorf("%d rows instead of one", n)
	}
	return err
}

// jsonList is the JSON of a list, "" when it is empty.
func jsonList[T any](values []T) string {
	if len(values) == 0 {
		return ""
	}
	return toJSON(values)
}

func toJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("history: plain data: " + err.Error())
	}
	return string(b)
}

func (a applier) requested(f *events.Requested) error {
	if f.Number <= 0 || a.r.Transaction == "" {
		return fmt.Errorf("a transaction without number or id: %d, %q", f.Number, a.r.Transaction)
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

func (a applier) indexPackages(number int, names []string) error {
	values := make([]any, 0, 2*len(names))
	for _, name := range names {
		values = append(values, name, number)
	}
	return a.insert("INSERT OR IGNORE INTO touches", 2, values)
}

// maxRows is how many rows one statement inserts.
const maxRows = 16

// insert writes rows of a width, as few statements as it takes; their sizes are
// powers of two, so that the transaction prepares few of them.
func (a applier) insert(into string, width int, values []any) error {
	row := ", (?" + strings.Repeat(", ?", width-1) + ")"
	for rows := maxRows; len(values) > 0; {
		if rows*width > len(values) {
			rows /= 2
			continue
		}
		if _, err := a.tx.Exec(into+" VALUES "+strings.Repeat(row, rows)[2:], values[:rows*width]...); err != nil {
			return err
		}
		values = values[rows*width:]
	}
	return nil
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

// endWithoutRun ends a transaction that never ran.
func (a applier) endWithoutRun(to events.TransactionState, why events.Failure, from ...events.TransactionState) error {
	states := append(slices.Clone(from), make([]events.TransactionState, 3-len(from))...) // "" is no state
	return a.execInState(`UPDATE transactions SET state = ?, ended_at = ?, failure_kind = ?, failure_subject = ?, failure_message = ?, failure_hint = ?
		WHERE id = ? AND state IN (?, ?, ?)`, string(to), a.nanos(), string(why.Kind), why.Subject, why.Message, why.Hint,
		string(a.r.Transaction), string(states[0]), string(states[1]), string(states[2]))
}

func (a applier) approved(f *events.Approved) error {
	if err := a.execInState(`UPDATE transactions SET state = 'approved' WHERE id = ? AND state = 'planned'`, string(a.r.Transaction)); err != nil {
		return err
	}
	return a.execOne(`UPDATE details SET approved_by = ?, approved_how = ?, approved_at = ? WHERE number = (SELECT number FROM transactions WHERE id = ?)`,
		toJSON(a.r.Actor), f.How, a.nanos(), string(a.r.Transaction))
}

func (a applier) started() error {
	return a.execInState(`UPDATE transactions SET state = 'running', started_at = ? WHERE id = ? AND state = 'approved'`, a.nanos(), string(a.r.Transaction))
}

// stepStarted inserts the step behind the last one, which must have ended.
func (a applier) stepStarted(f *events.StepStarted) error {
	return a.execInState(`INSERT INTO steps (number, step, op, argv, started_at) SELECT x.number, ?1, ?2, ?3, ?4 FROM transactions x
		WHERE x.id = ?5 AND x.state = 'running' AND ?1 = (SELECT count(*) FROM steps s WHERE s.number = x.number AND s.ended_at <> 0)`,
		f.Index, string(f.Op), jsonList(f.Argv), a.nanos(), string(a.r.Transaction))
}

// stepEnd is how a step ended.
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

func (a applier) interrupted(f *events.Interrupted) error {
	if err := a.recordRunEnd(events.StateInterrupted, events.EffectsOf(f), events.Failure{Kind: events.ErrInterrupted, Message: f.Reason}); err != nil {
		return err
	}
	return a.execOne(`UPDATE details SET recovered = ? WHERE number = (SELECT number FROM transactions WHERE id = ?)`, jsonList(f.Recovered), string(a.r.Transaction))
}

// recordRunEnd records the outcome of a run.
func (a applier) recordRunEnd(to events.TransactionState, e events.Effects, why events.Failure) error {
	x, err := a.requireState(events.StateRunning)
	if err != nil {
		return err
	}
	return a.recordOutcome(x, to, e, why)
}

// recordOutcome writes what was done, and that it is over.
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

// insertConfigChanges writes what changed of files and settings.
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

// observed is a whole transaction in one fact.
func (a applier) observed(f *events.Observed) error {
	if f.Number <= 0 || a.r.Transaction == "" {
		return fmt.Errorf("a transaction without number or id: %d, %q", f.Number, a.r.Transaction)
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

// snapshotTaken notes what could not be kept.
func (a applier) snapshotTaken(f *events.SnapshotTaken) error {
	if len(f.NotStored) == 0 {
		return nil
	}
	return a.execInState(`UPDATE details SET lost = ? WHERE number = (SELECT number FROM transactions WHERE id = ? AND state = 'running')`, jsonList(f.NotStored), string(a.r.Transaction))
}

// plannedActions gives those actions of the plan that a difference of states
// does not show by itself.
func (a applier) plannedActions(number int) (map[events.PackageKey]events.Action, error) {
	rows, err := a.tx.Query(`SELECT name, arch, action FROM plan_changes WHERE number = ? AND action IN ('downgrade', 'purge')`, number)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // its error is rows.Err
	out := map[events.PackageKey]events.Action{}
	for rows.Next() {
		var k events.PackageKey
		var action events.Action
		if err := rows.Scan(&k.Name, &k.Arch, &action); err != nil {
			return nil, err
		}
		out[k] = action
	}
	return out, rows.Err()
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
