package memory

import (
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"cortex/events"
	"cortex/projections"
)

// Name is the name of the read model and of its file.
const Name = "memory"

// Version is the version of the tables.
const Version = 1

//go:embed schema.sql
var schema string

// Definition defines the read model.
func Definition() projections.Definition {
	return projections.Definition{
		Name: Name, Version: Version, Schema: schema,
		Handlers: []projections.Handler{
			projections.On(recordRequest),
			projections.On(succeeded),
			projections.On(failed),
			projections.On(refused),
			projections.On(uncountChoices),
			projections.On(insertPreference),
			projections.On(forgetItems),
			projections.On(dismissSuggestion),
		},
	}
}

func succeeded(tx *projections.Tx, r events.Record, _ *events.Succeeded) error {
	return errors.Join(countChoices(tx, r.Transaction), markFixed(tx, r))
}

func failed(tx *projections.Tx, r events.Record, f *events.Failed) error {
	return recordFailure(tx, r, f.Failure)
}

func refused(tx *projections.Tx, r events.Record, f *events.Refused) error {
	switch f.Failure.Kind {
	case events.ErrNotFound, events.ErrUsage, events.ErrStale:
		return nil // a mistyped name or an outdated plan is not a failure to remember
	}
	return recordFailure(tx, r, f.Failure)
}

func insertPreference(tx *projections.Tx, r events.Record, f *events.PreferenceStated) error {
	_, err := tx.Exec(`INSERT INTO stated VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, fmt.Sprintf("p%d", r.Position), f.UID, int64(r.Position), r.Time.UnixNano(),
		string(r.ID), string(f.Text.Key), f.Text.Nonce, f.Text.Text)
	return err
}

func dismissSuggestion(tx *projections.Tx, r events.Record, f *events.SuggestionDismissed) error {
	_, err := tx.Exec(`INSERT OR REPLACE INTO dismissed VALUES (?, ?, ?)`, f.UID, f.Suggestion, int64(r.Position))
	return err
}

// NormalizePhrase converts a phrase to lower case with single spaces, the form in which
// phrases are compared.
func NormalizePhrase(phrase string) string {
	return strings.ToLower(strings.Join(strings.Fields(phrase), " "))
}

// recordRequest stores the packages of a request and the choices made for it.
func recordRequest(tx *projections.Tx, r events.Record, f *events.Requested) error {
	for n, ref := range f.Packages {
		if _, err := tx.Exec(`INSERT INTO asked VALUES (?, ?, ?, ?, ?, ?)`, string(r.Transaction), n, r.Actor.UID, f.Number, string(f.Verb), string(ref.Name)); err != nil {
			return err
		}
	}
	n := 0
	for _, c := range f.Chosen {
		for _, name := range c.Names {
			if _, err := tx.Exec(`INSERT INTO made VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)`, string(r.Transaction), n, r.Actor.UID, NormalizePhrase(c.Phrase), string(name),
				int64(r.Position), r.Time.UnixNano(), string(r.ID)); err != nil {
				return err
			}
			n++
		}
	}
	return nil
}

// countChoices counts the choices of a successful transaction.
func countChoices(tx *projections.Tx, txn events.TransactionID) error {
	n, err := tx.Exec(`UPDATE made SET counts = 1 WHERE txn = ?`, string(txn))
	if err != nil || n == 0 {
		return err
	}
	_, err = tx.Exec(`INSERT INTO choices SELECT 'c' || position || iif(n = 0, '', '.' || n), uid, words, name, 1, position, at FROM made WHERE txn = ? AND counts = 1
		ON CONFLICT (uid, words, name) DO UPDATE SET times = times + 1, last = excluded.last, at = excluded.at`, string(txn))
	return err
}

// uncountChoices subtracts the choices of a transaction that was undone.
func uncountChoices(tx *projections.Tx, r events.Record, _ *events.Compensated) error {
	txn := r.Transaction
	if _, err := tx.Exec(`UPDATE choices SET times = times - 1 FROM made
		WHERE made.txn = ? AND made.counts = 1 AND choices.uid = made.uid AND choices.words = made.words AND choices.name = made.name`, string(txn)); err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM choices WHERE times = 0 AND (uid, words, name) IN (SELECT uid, words, name FROM made WHERE txn = ?)`, string(txn)); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE made SET counts = 0 WHERE txn = ?`, string(txn))
	return err
}

// recordFailure stores a failure of the package that it names, or of the first requested
// package. A cancelled transaction is not a failure.
func recordFailure(tx *projections.Tx, r events.Record, why events.Failure) error {
	if why.Kind == events.ErrCancelled {
		return nil
	}
	var uid, number int
	var verb, name string
	err := tx.QueryRow(`SELECT uid, number, verb, name FROM asked WHERE txn = ? ORDER BY name <> ?, n LIMIT 1`, []any{string(r.Transaction), why.Subject}, &uid, &number, &verb, &name)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // the request names no package
	}
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '')`, fmt.Sprintf("f%d", r.Position), uid, number, verb, name,
		int64(r.Position), r.Time.UnixNano(), string(r.ID), events.SanitizeLine(why.Message, maxReason))
	return err
}

// maxReason bounds the stored length of a reason, in bytes.
const maxReason = 300

// markFixed marks earlier failures of the same packages and verb as fixed.
func markFixed(tx *projections.Tx, r events.Record) error {
	_, err := tx.Exec(`UPDATE failures SET fixed = asked.number, fixed_event = ? FROM asked
		WHERE asked.txn = ? AND failures.fixed = 0 AND failures.name = asked.name AND failures.verb = asked.verb`, string(r.ID), string(r.Transaction))
	return err
}

// forgetItems deletes items of a user. It deletes the choices behind them too, so that a
// later undo does not subtract them.
func forgetItems(tx *projections.Tx, _ events.Record, f *events.MemoryForgotten) error {
	if f.All {
		for _, query := range []string{
			`DELETE FROM stated WHERE uid = ?`, `DELETE FROM choices WHERE uid = ?`, `DELETE FROM made WHERE uid = ?`,
			`DELETE FROM failures WHERE uid = ?`, `DELETE FROM dismissed WHERE uid = ?`,
		} {
			if _, err := tx.Exec(query, f.UID); err != nil {
				return err
			}
		}
		return nil
	}
	for _, entry := range f.Entries {
		for _, query := range []string{
			`DELETE FROM stated WHERE uid = ? AND entry = ?`,
			`DELETE FROM made WHERE uid = ?1 AND (words, name) IN (SELECT words, name FROM choices WHERE uid = ?1 AND entry = ?2)`,
			`DELETE FROM choices WHERE uid = ? AND entry = ?`,
			`DELETE FROM failures WHERE uid = ? AND entry = ?`,
			`DELETE FROM dismissed WHERE uid = ? AND suggestion = ?`,
		} {
			if _, err := tx.Exec(query, f.UID, entry); err != nil {
				return err
			}
		}
	}
	return nil
}
