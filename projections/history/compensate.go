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
	x, err := a.expect(events.StateSucceeded, events.StateFailed, events.StateInterrupted)
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
	for id := a.r.Transaction; id != ""; {
		if id, err = a.follow(id, entry); err != nil {
			return err
		}
	}
	return nil
}

// follow appends to one transaction's trail and gives the one that it had
// compensated, if any.
func (a application) follow(id events.TransactionID, entry Reference) (next events.TransactionID, err error) {
	var stored string
	err = a.tx.QueryRow(`SELECT x.trail, coalesce(t.id, '') FROM transactions x
		LEFT JOIN transactions t ON t.id = x.target AND t.compensated_by = x.id WHERE x.id = ?`, []any{string(id)}, &stored, &next)
	if err != nil {
		return "", err
	}
	var trail []Reference
	if stored != "" {
		if err := json.Unmarshal([]byte(stored), &trail); err != nil {
			return "", fmt.Errorf("trail of %s: %w", id, err)
		}
	}
	if len(trail) >= maxTrail {
		return "", nil
	}
	return next, a.exec(`UPDATE transactions SET trail = ? WHERE id = ?`, list(append(trail, entry)), string(id))
}
