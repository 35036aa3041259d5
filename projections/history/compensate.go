package history

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"cortex/events"
)

// maxTrailLength bounds the stored list of undos and redos of one transaction. It also ends
// a cycle, which a valid log does not contain.
const maxTrailLength = 1000

// compensated stores the result of an undo. It also extends the trail of every transaction
// that the undo affects: if 7 undid 5 and 8 undoes 7, then 8 redoes 5.
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

// undoneBy returns the transactions that a transaction undid.
func (a applier) undoneBy(id events.TransactionID) ([]events.TransactionID, error) {
	var out []events.TransactionID
	err := a.tx.Each(`SELECT id FROM transactions WHERE compensated_by <> '' AND compensated_by = ? ORDER BY number`, []any{string(id)}, func(rows *sql.Rows) error {
		var t events.TransactionID
		err := rows.Scan(&t)
		out = append(out, t)
		return err
	})
	return out, err
}

// appendTrail appends an entry to the trail of one transaction.
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
