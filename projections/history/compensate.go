package history

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"cortex/events"
)

// maxTrail bounds how often one effect is undone and redone before the page
// stops telling; it also ends a circle that a lawful log cannot have.
const maxTrail = 1000

// compensated writes the verdict, and tells every transaction whose effect it
// reaches: when 8 undoes 7, and 7 had undone 5, then 5 is redone by 8.
func (a application) compensated(f *events.Compensated) error {
	x, err := a.expect(events.StateSucceeded, events.StateFailed, events.StateInterrupted, events.StateObserved)
	if err != nil {
		return err
	}
	by, err := a.find(f.By)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err := a.exec(`UPDATE transactions SET compensated_by = ?, exact = ?, residue = ? WHERE number = ?`,
		string(f.By), f.Exact, list(f.Residue), x.number); err != nil {
		return err
	}
	entry := Reference{Number: by.number, ID: f.By, Verb: by.verb}
	reached := []events.TransactionID{a.r.Transaction}
	for i := 0; i < len(reached) && i < maxTrail; i++ {
		if err := a.follow(reached[i], entry); err != nil {
			return err
		}
		next, err := a.compensatedBy(reached[i])
		if err != nil {
			return err
		}
		reached = append(reached, next...)
	}
	return nil
}

// compensatedBy gives the transactions that one had taken back.
func (a application) compensatedBy(id events.TransactionID) ([]events.TransactionID, error) {
	rows, err := a.tx.Query(`SELECT id FROM transactions WHERE compensated_by <> '' AND compensated_by = ? ORDER BY number`, string(id))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // its error is rows.Err
	var out []events.TransactionID
	for rows.Next() {
		var t events.TransactionID
		if err := rows.Scan(&t); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, rows.Err()
}

// follow appends to one transaction's trail.
func (a application) follow(id events.TransactionID, entry Reference) error {
	var stored string
	if err := a.tx.QueryRow(`SELECT trail FROM transactions WHERE id = ?`, []any{string(id)}, &stored); err != nil {
		return err
	}
	var trail []Reference
	if stored != "" {
		if err := json.Unmarshal([]byte(stored), &trail); err != nil {
			return fmt.Errorf("trail of %s: %w", id, err)
		}
	}
	if len(trail) >= maxTrail {
		return nil
	}
	return a.exec(`UPDATE transactions SET trail = ? WHERE id = ?`, list(append(trail, entry)), string(id))
}
