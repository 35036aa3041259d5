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
	// minPrefix is the minimum length of a prefix of an id.
	minPrefix = 6
	// maxNumberDigits is the maximum length of a number.
	maxNumberDigits = 15
	refHint         = "use a transaction number, last, last-N, a transaction id or its first 6 characters, or a plan id"
)

// Resolve returns the id of the transaction that ref names. ref is one of
//
//	7             the number of the transaction
//	last          the newest; last-2 is the second before it
//	0193…         the id, or a prefix of at least 6 characters
//	9c0a71be52ff  the id of the plan; the newest transaction with this plan
//
// The error is ErrNotFound if no transaction matches. It is ErrUsage if ref has another
// form or matches several transactions.
func (r *Reader) Resolve(ctx context.Context, ref string) (events.TransactionID, error) {
	t, err := r.resolve(ctx, ref)
	return t.ID, err
}

func (r *Reader) resolve(ctx context.Context, ref string) (TransactionRow, error) {
	ref = strings.ToLower(strings.TrimSpace(ref))
	missing := notFoundError("history.Resolve", "transaction "+ref, "unknown transaction")
	if back, ok := lastRef(ref); ok {
		if back == 0 {
			missing = notFoundError("history.Resolve", "", "no transaction recorded yet")
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
	return TransactionRow{}, usageError(fmt.Sprintf("%q", ref), errors.New("not a reference to a transaction"))
}

// ResolveChanged returns the transaction that ref names for an undo. last and last-N count
// only transactions that changed something.
func (r *Reader) ResolveChanged(ctx context.Context, ref string) (TransactionRow, error) {
	back, ok := lastRef(strings.ToLower(strings.TrimSpace(ref)))
	if !ok {
		return r.resolve(ctx, ref)
	}
	const changed = `ended_position > 0 AND changed + files + settings > 0`
	found, err := r.queryTransactions(ctx, `SELECT `+transactionColumns+` FROM transactions x
		WHERE x.number = (SELECT number FROM transactions WHERE `+changed+` ORDER BY number DESC LIMIT 1 OFFSET ?)`, back)
	if err != nil || len(found) > 0 {
		return first(found), err
	}
	var total int
	if _, err := r.tables.QueryRow(ctx, `SELECT count(*) FROM transactions WHERE `+changed, nil, &total); err != nil {
		return TransactionRow{}, err
	}
	return TransactionRow{}, notFoundError("history.ResolveChanged", ref, fmt.Sprintf("only %d transactions changed something", total))
}

// first returns the first element, or the zero value of an empty list.
func first[T any](list []T) (v T) {
	if len(list) > 0 {
		v = list[0]
	}
	return v
}

// lastRef parses last and last-N.
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

// numberRef parses a transaction number. It returns 0 for any other text.
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

// byPrefix finds the only id with a prefix. 'g' sorts after every character of an id.
func (r *Reader) byPrefix(ctx context.Context, prefix string, missing *events.Error) (TransactionRow, error) {
	found, err := r.queryTransactions(ctx, `SELECT `+transactionColumns+` FROM transactions x WHERE x.id >= ? AND x.id < ? ORDER BY x.id LIMIT 2`, prefix, prefix+"g")
	switch {
	case err != nil:
		return TransactionRow{}, err
	case len(found) == 0:
		return TransactionRow{}, missing
	case len(found) > 1:
		return TransactionRow{}, usageError("transaction "+prefix, fmt.Errorf("the prefix matches several transactions, such as %d and %d", found[0].Number, found[1].Number))
	}
	return found[0], nil
}

func usageError(subject string, err error) *events.Error {
	return &events.Error{Op: "history.Resolve", Kind: events.ErrUsage, Subject: subject, Err: err, Hint: refHint}
}
