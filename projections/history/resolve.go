package history

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"cortex/events"
)

const (
	// minPrefix is how much of an id has to be typed.
	minPrefix = 6
	// maxNumberDigits bounds what is read as a number.
	maxNumberDigits = 15
	refHint         = "name a transaction by its number, last, last-N, its id or the first 6 characters of it, or its plan id"
)

// Resolve gives the id of the transaction that ref names. ref may be
//
//	7         the number of the transaction
//	last      the newest; last-2 is the second before it
//	0193…     the id, or the beginning of it, of at least 6 characters
//	9c0a71be52ff  the id of its plan; of several, the newest
//
// What names nothing is ErrNotFound; what is no such word, or names several, is
// ErrUsage.
func (r *Reader) Resolve(ctx context.Context, ref string) (events.TransactionID, error) {
	t, err := r.resolve(ctx, ref)
	return t.ID, err
}

func (r *Reader) resolve(ctx context.Context, ref string) (TransactionRow, error) {
	ref = strings.ToLower(strings.TrimSpace(ref))
	missing := notFoundError("history.Resolve", "transaction "+ref, "no such transaction")
	if back, ok := lastRef(ref); ok {
		if back == 0 {
			missing = notFoundError("history.Resolve", "", "nothing was asked for yet")
		}
		return r.nthNewest(ctx, back, missing)
	}
	number := numberRef(ref)
	if number > 0 {
		t, err := r.queryOne(ctx, missing, `SELECT `+transactionColumns+` FROM transactions x WHERE x.number = ?`, number)
		if err == nil || !errors.Is(err, events.ErrNotFound) {
			return t, err
		}
	}
	hex := strings.Trim(ref, "0123456789abcdef") == ""
	switch {
	case hex && len(ref) == 12:
		return r.queryOne(ctx, missing, byPlanQuery+` ORDER BY x.number DESC`, ref)
	case len(ref) >= minPrefix && len(ref) <= 36 && strings.Trim(ref, "0123456789abcdef-") == "":
		return r.byPrefix(ctx, ref, missing)
	case number > 0:
		return TransactionRow{}, missing
	}
	return TransactionRow{}, usageError(fmt.Sprintf("%q", ref), errors.New("not the name of a transaction"))
}

// ResolveChanged is the transaction that ref names where one is to be taken back: last
// and last-N count only those that changed something. What was refused or only planned
// stands in between for nobody who wants to undo.
func (r *Reader) ResolveChanged(ctx context.Context, ref string) (TransactionRow, error) {
	back, ok := lastRef(strings.ToLower(strings.TrimSpace(ref)))
	if !ok {
		return r.resolve(ctx, ref)
	}
	return r.queryOne(ctx, notFoundError("history.ResolveChanged", ref, "so many transactions have not changed anything"), `SELECT `+transactionColumns+` FROM transactions x
		WHERE x.number = (SELECT number FROM transactions WHERE ended_position > 0 AND changed + files + settings > 0 ORDER BY number DESC LIMIT 1 OFFSET ?)`, back)
}

// lastRef reads last and last-N.
func lastRef(ref string) (back int, ok bool) {
	rest, ok := strings.CutPrefix(ref, "last")
	if !ok || rest == "" {
		return 0, ok
	}
	digits, ok := strings.CutPrefix(rest, "-")
	if !ok || digits == "" || len(digits) > maxNumberDigits || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	back, err := strconv.Atoi(digits)
	return back, err == nil
}

// numberRef reads a number as people write it; 0 is none.
func numberRef(ref string) int {
	if ref == "" || ref[0] == '0' || len(ref) > maxNumberDigits || strings.Trim(ref, "0123456789") != "" {
		return 0
	}
	n, err := strconv.Atoi(ref)
	if err != nil {
		return 0
	}
	return n
}

func (r *Reader) nthNewest(ctx context.Context, back int, missing *events.Error) (TransactionRow, error) {
	return r.queryOne(ctx, missing, `SELECT `+transactionColumns+` FROM transactions x
		WHERE x.number = (SELECT number FROM transactions ORDER BY number DESC LIMIT 1 OFFSET ?)`, back)
}

// byPrefix finds the one id that begins so. 'g' follows every character of ids.
func (r *Reader) byPrefix(ctx context.Context, prefix string, missing *events.Error) (TransactionRow, error) {
	found, err := r.queryTransactions(ctx, `SELECT `+transactionColumns+` FROM transactions x WHERE x.id >= ? AND x.id < ? ORDER BY x.id LIMIT 2`, prefix, prefix+"g")
	switch {
	case err != nil:
		return TransactionRow{}, err
	case len(found) == 0:
		return TransactionRow{}, missing
	case len(found) > 1:
		return TransactionRow{}, usageError("transaction "+prefix, fmt.Errorf("begins the ids of several, such as %d and %d", found[0].Number, found[1].Number))
	}
	return found[0], nil
}

func usageError(subject string, err error) *events.Error {
	return &events.Error{Op: "history.Resolve", Kind: events.ErrUsage, Subject: subject, Err: err, Hint: refHint}
}
