package history

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"cortex/events"
)

// maxTrailLength bounds how often one effect is undone and redone before the page
// stops telling; it also ends a circle that a lawful log cannot have.
const maxTrailLength = 1000

// compensated writes the verdict, and tells every transaction whose effect it
// reaches: when 8 undoes 7, and 7 had undone 5, then 5 is redone by 8.
func (a applier) compensated(f *events.Compensated) error {
	x, err := a.requireState(events.StateSucceeded, events.StateFailed, events.StateInterrupted, events.StateObserved)
	if err != nil {
		return err
	}
	by, err := a.find(f.By)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err := a.execOne(`UPDATE transactions SET compensated_by = ?, exact = ?, residue = ? WHERE number = ?`,
		string(f.By), f.Exact, jsonList(f.Residue), x.number); err != nil {
		return err
	}
	entry := TransactionRef{Number: by.number, ID: f.By, Verb: by.verb}
	reached := []events.TransactionID{a.r.Transaction}
	for i := 0; i < len(reached) && i < maxTrailLength; i++ {
		if err := a.appendTrail(reached[i], entry); err != nil {
			return err
		}
		next, err := a.undoneBy(reached[i])
		if err != nil {
			return err
		}
		reached = append(reached, next...)
	}
	return nil
}

// undoneBy gives the transactions that one had taken back.
func (a applier) undoneBy(id events.TransactionID) ([]events.TransactionID, error) {
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

// appendTrail appends to one transaction's trail.
func (a applier) appendTrail(id events.TransactionID, entry TransactionRef) error {
	var stored string
	if err := a.tx.QueryRow(`SELECT trail FROM transactions WHERE id = ?`, []any{string(id)}, &stored); err != nil {
		return err
	}
	var trail []TransactionRef
	if stored != "" {
		if err := json.Unmarshal([]byte(stored), &trail); err != nil {
			return fmt.Errorf("trail of %s: %w", id, err)
		}
	}
	if len(trail) >= maxTrailLength {
		return nil
	}
	return a.execOne(`UPDATE transactions SET trail = ? WHERE id = ?`, jsonList(append(trail, entry)), string(id))
}
