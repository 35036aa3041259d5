package history

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cortex/events"
)

// transactionContext is the part of a transaction that handlers need.
type transactionContext struct {
	number       int
	verb         events.Verb
	state        events.TransactionState
	names        []string
	targetNumber int
	target       events.TransactionID
}

// nanos returns the time of the record in its stored form.
func (a applier) nanos() int64 { return a.r.Time.UnixNano() }

func (a applier) find(id events.TransactionID) (transactionContext, error) {
	var x transactionContext
	var names string
	err := a.tx.QueryRow(`SELECT number, verb, state, names, target, target_number FROM transactions WHERE id = ?`,
		[]any{string(id)}, &x.number, &x.verb, &x.state, &names, &x.target, &x.targetNumber)
	x.names = strings.Fields(names)
	return x, err
}

// requireState finds the record's transaction. It fails if the transaction is in none of
// the states, because the fact is not allowed then.
func (a applier) requireState(states ...events.TransactionState) (transactionContext, error) {
	x, err := a.find(a.r.Transaction)
	if errors.Is(err, sql.ErrNoRows) {
		return x, fmt.Errorf("transaction %q was never requested", a.r.Transaction)
	}
	if err == nil && !slices.Contains(states, x.state) {
		err = notAllowedError(x)
	}
	return x, err
}

// execInState runs a statement that changes exactly one row if the record's transaction is
// in the state that the statement selects. It fails if no row changed.
func (a applier) execInState(query string, args ...any) error {
	n, err := a.tx.Exec(query, args...)
	if err != nil || n == 1 {
		return err
	}
	x, err := a.requireState()
	if x.number != 0 {
		return notAllowedError(x)
	}
	return err
}

func notAllowedError(x transactionContext) error {
	return fmt.Errorf("event not allowed: transaction %d is in state %s", x.number, x.state)
}

// execOne runs a statement that must change exactly one row.
func (a applier) execOne(query string, args ...any) error {
	n, err := a.tx.Exec(query, args...)
	if err == nil && n != 1 {
		err = fmt.Errorf("changed %d rows instead of one", n)
	}
	return err
}

// jsonList returns the JSON form of a list, or "" for an empty list.
func jsonList[T any](values []T) string {
	if len(values) == 0 {
		return ""
	}
	return toJSON(values)
}

func toJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("history: " + err.Error()) // facts come from JSON
	}
	return string(b)
}

func (a applier) indexPackages(number int, names []string) error {
	values := make([]any, 0, 2*len(names))
	for _, name := range names {
		values = append(values, name, number)
	}
	return a.insert("INSERT OR IGNORE INTO touches", 2, values)
}

// maxRows is the maximum number of rows that one statement inserts.
const maxRows = 16

// insert inserts rows of width columns. The number of rows of each statement is a power of
// two, so that a transaction prepares few different statements.
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
