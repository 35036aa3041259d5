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

// Name is the read model's name, and its file's.
const Name = "memory"

// Version is the version of the tables.
const Version = 1

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
	switch f := f.(type) {
	case *events.Requested:
		return recordRequest(tx, r, f)
	case *events.Succeeded:
		return errors.Join(countChoices(tx, r.Transaction), markFixed(tx, r))
	case *events.Failed:
		return recordFailure(tx, r, f.Failure)
	case *events.Refused:
		switch f.Failure.Kind {
		case events.ErrNotFound, events.ErrUsage, events.ErrStale:
			return nil // a name that was mistyped, or a plan that came too late
		}
		return recordFailure(tx, r, f.Failure)
	case *events.Compensated:
		return uncountChoices(tx, r.Transaction)
	case *events.PreferenceStated:
		_, err := tx.Exec(`INSERT INTO stated VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, fmt.Sprintf("p%d", r.Position), f.UID, int64(r.Position), r.Time.UnixNano(),
			string(r.ID), string(f.Text.Key), f.Text.Nonce, f.Text.Text)
		return err
	case *events.MemoryForgotten:
		return forgetItems(tx, f)
	case *events.SuggestionDismissed:
		_, err := tx.Exec(`INSERT OR REPLACE INTO dismissed VALUES (?, ?, ?)`, f.UID, f.Suggestion, int64(r.Position))
		return err
	}
	return nil // nothing to remember
}

// NormalizePhrase is the form in which words are compared: in lower case, with single blanks.
func NormalizePhrase(words string) string {
	return strings.ToLower(strings.Join(strings.Fields(words), " "))
}

// recordRequest notes what a transaction is about and what was chosen for it.
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

// countChoices counts the choices of a transaction that succeeded.
func countChoices(tx *projections.Tx, txn events.TransactionID) error {
	n, err := tx.Exec(`UPDATE made SET counts = 1 WHERE txn = ?`, string(txn))
	if err != nil || n == 0 {
		return err
	}
	_, err = tx.Exec(`INSERT INTO choices SELECT 'c' || position || iif(n = 0, '', '.' || n), uid, words, name, 1, position, at FROM made WHERE txn = ? AND counts = 1
		ON CONFLICT (uid, words, name) DO UPDATE SET times = times + 1, last = excluded.last, at = excluded.at`, string(txn))
	return err
}

// uncountChoices takes back what a transaction that was undone counted for.
func uncountChoices(tx *projections.Tx, txn events.TransactionID) error {
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

// recordFailure notes what did not work.
func recordFailure(tx *projections.Tx, r events.Record, why events.Failure) error {
	var uid, number int
	var verb, name string
	err := tx.QueryRow(`SELECT uid, number, verb, name FROM asked WHERE txn = ? ORDER BY name <> ?, n LIMIT 1`, []any{string(r.Transaction), why.Subject}, &uid, &number, &verb, &name)
	if errors.Is(err, sql.ErrNoRows) || why.Kind == events.ErrCancelled {
		return nil // it was about no package by name, or somebody changed their mind
	}
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '')`, fmt.Sprintf("f%d", r.Position), uid, number, verb, name,
		int64(r.Position), r.Time.UnixNano(), string(r.ID), events.SanitizeLine(why.Message, maxReason))
	return err
}

// maxReason bounds what is kept of a reason, in bytes.
const maxReason = 300

// markFixed notes that what failed before has worked.
func markFixed(tx *projections.Tx, r events.Record) error {
	_, err := tx.Exec(`UPDATE failures SET fixed = asked.number, fixed_event = ? FROM asked
		WHERE asked.txn = ? AND failures.fixed = 0 AND failures.name = asked.name AND failures.verb = asked.verb`, string(r.ID), string(r.Transaction))
	return err
}

// forgetItems drops a person's memories. Choices that were made before count for nothing
// any more, not even to be taken back.
func forgetItems(tx *projections.Tx, f *events.MemoryForgotten) error {
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
