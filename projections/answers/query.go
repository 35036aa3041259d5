package answers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"cortex/events"
	"cortex/projections"
)

// FormatVersion is the version of the JSON form of the answers.
const FormatVersion = 1

// MatchedBy says by which key an answer was found.
type MatchedBy string

// The ways to find one.
const (
	MatchedByExactKey     MatchedBy = "exact"
	MatchedByCanonicalKey MatchedBy = "canonical"
)

// CachedAnswer is one that is kept.
type CachedAnswer struct {
	ID           events.ID       `json:"id"` // of the event that holds it
	Position     events.Position `json:"position"`
	At           time.Time       `json:"at"`
	Expires      time.Time       `json:"expires"`
	Scope        string          `json:"scope"`
	ExactKey     string          `json:"exact_key"`
	CanonicalKey string          `json:"canonical_key,omitempty"`
	Task         string          `json:"task"`
	Model        string          `json:"model"`
	Question     string          `json:"question"`
	Answer       string          `json:"answer"`
	Bytes        int64           `json:"bytes"`
	Cost         int64           `json:"cost_micro_usd"`
	Uses         int64           `json:"uses"`
}

// Totals count what is there, and what there was since the log began.
type Totals struct {
	Answers   int64 `json:"answers"`
	Bytes     int64 `json:"bytes"`
	BytesMax  int64 `json:"bytes_max"`
	Stored    int64 `json:"given"`
	Uses      int64 `json:"uses"`
	Saved     int64 `json:"saved_micro_usd"` // what the uses would have cost
	Expired   int64 `json:"expired"`
	Evicted   int64 `json:"evicted"`
	Replaced  int64 `json:"replaced"`
	Forgotten int64 `json:"forgotten"`
}

// LookupKeys is what is looked up.
type LookupKeys struct {
	Scope        string // a scope's hash
	ExactKey     string
	CanonicalKey string // "" when the question has no canonical key
	Now          time.Time
}

// Reader answers questions. It is safe for concurrent use and writes nothing. A
// database that is missing, damaged or of another version gives errors for which
// [projections.Unreadable] is true.
type Reader struct {
	db            *sql.DB
	checked       atomic.Bool
	exactStmt     atomic.Pointer[sql.Stmt]
	canonicalStmt atomic.Pointer[sql.Stmt]
}

// NewReader returns a reader of an open database. It looks at nothing yet.
func NewReader(db *sql.DB) *Reader { return &Reader{db: db} }

const columns = `id, position, at, scope, exact, canon, task, model, question, answer, bytes, cost, uses`

// Lookup finds the answer to a question that was asked before in the same scope:
// by its exact key, or else the newest by its canonical key. ok is false when there
// is none that is still good.
func (r *Reader) Lookup(ctx context.Context, w LookupKeys) (a CachedAnswer, how MatchedBy, ok bool, err error) {
	since := w.Now.Add(-TTL).UnixNano()
	a, ok, err = r.queryOne(ctx, &r.exactStmt, `SELECT `+columns+` FROM answers WHERE scope = ? AND exact = ? AND at > ?`, w.Scope, w.ExactKey, since)
	if ok || err != nil || w.CanonicalKey == "" {
		return a, MatchedByExactKey, ok, err
	}
	a, ok, err = r.queryOne(ctx, &r.canonicalStmt,
		`SELECT `+columns+` FROM answers WHERE scope = ? AND canon = ? AND canon <> '' AND at > ? ORDER BY position DESC LIMIT 1`, w.Scope, w.CanonicalKey, since)
	return a, MatchedByCanonicalKey, ok, err
}

// queryOne runs a query that is prepared once.
func (r *Reader) queryOne(ctx context.Context, prepared *atomic.Pointer[sql.Stmt], query string, args ...any) (a CachedAnswer, ok bool, err error) {
	if err := r.check(ctx); err != nil {
		return a, false, err
	}
	s := prepared.Load()
	if s == nil {
		if s, err = r.db.PrepareContext(ctx, query); err != nil {
			return a, false, projections.WrapError(Name, err)
		}
		if !prepared.CompareAndSwap(nil, s) {
			if err := s.Close(); err != nil {
				return a, false, projections.WrapError(Name, err)
			}
			s = prepared.Load()
		}
	}
	a, err = scanAnswer(s.QueryRowContext(ctx, args...).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return a, false, nil
	}
	return a, err == nil, projections.WrapError(Name, err)
}

// Close releases what the reader prepared; the database stays open.
func (r *Reader) Close() error {
	var errs []error
	for _, p := range []*atomic.Pointer[sql.Stmt]{&r.exactStmt, &r.canonicalStmt} {
		if s := p.Swap(nil); s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

func (r *Reader) check(ctx context.Context) error {
	if r.checked.Load() {
		return nil
	}
	if err := projections.CheckVersion(ctx, r.db, Name, Version); err != nil {
		return err
	}
	r.checked.Store(true)
	return nil
}

func scanAnswer(into func(...any) error) (a CachedAnswer, err error) {
	var at int64
	err = into(&a.ID, &a.Position, &at, &a.Scope, &a.ExactKey, &a.CanonicalKey, &a.Task, &a.Model, &a.Question, &a.Answer, &a.Bytes, &a.Cost, &a.Uses)
	a.At = time.Unix(0, at).UTC()
	a.Expires = a.At.Add(TTL)
	return a, err
}

// List gives the answers, the one used last first; limit 0 means all.
func (r *Reader) List(ctx context.Context, limit int) ([]CachedAnswer, error) {
	if limit <= 0 {
		limit = -1
	}
	return r.queryAnswers(ctx, `SELECT `+columns+` FROM answers ORDER BY used DESC, id LIMIT ?`, limit)
}

// Get gives the answer that a person means: by its id, the end of it, or its
// position. One that is not there is ErrNotFound; more than one is ErrUsage.
func (r *Reader) Get(ctx context.Context, ref string) (CachedAnswer, error) {
	fail := func(kind events.ErrorKind, why string) (CachedAnswer, error) {
		return CachedAnswer{}, &events.Error{Op: "answers.Get", Kind: kind, Subject: fmt.Sprintf("answer %q", ref), Err: errors.New(why), Hint: "'cortex cache list' lists them"}
	}
	if ref == "" || strings.Trim(ref, "0123456789abcdef-") != "" {
		return fail(events.ErrUsage, "is no id of an answer")
	}
	found, err := r.queryAnswers(ctx, `SELECT `+columns+` FROM answers WHERE id = ?1 OR CAST(position AS TEXT) = ?1 OR length(?1) >= 6 AND substr(id, -length(?1)) = ?1 LIMIT 2`, ref)
	switch {
	case err != nil:
		return CachedAnswer{}, err
	case len(found) == 0:
		return fail(events.ErrNotFound, "is not kept")
	case len(found) > 1:
		return fail(events.ErrUsage, "may mean more than one")
	}
	return found[0], nil
}

func (r *Reader) queryAnswers(ctx context.Context, query string, args ...any) (out []CachedAnswer, err error) {
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	rows, err := r.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, projections.WrapError(Name, err)
	}
	defer func() { _ = rows.Close() }() // its error is rows.Err
	for rows.Next() {
		a, err := scanAnswer(rows.Scan)
		if err != nil {
			return nil, projections.WrapError(Name, err)
		}
		out = append(out, a)
	}
	return out, projections.WrapError(Name, rows.Err())
}

// Totals counts.
func (r *Reader) Totals(ctx context.Context) (Totals, error) {
	t := Totals{BytesMax: MaxBytes}
	if err := r.check(ctx); err != nil {
		return t, err
	}
	err := r.db.QueryRowContext(ctx, `SELECT bytes, given, uses, saved, expired, evicted, replaced, forgotten FROM totals WHERE id = 1`).
		Scan(&t.Bytes, &t.Stored, &t.Uses, &t.Saved, &t.Expired, &t.Evicted, &t.Replaced, &t.Forgotten)
	if errors.Is(err, sql.ErrNoRows) {
		return t, nil // nothing was ever given
	}
	t.Answers = t.Stored - t.Expired - t.Evicted - t.Replaced - t.Forgotten
	return t, projections.WrapError(Name, err)
}
