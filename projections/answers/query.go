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

// FormatVersion is the version of the JSON form of the results.
const FormatVersion = 1

// MatchedBy is the key that found an answer.
type MatchedBy string

// The keys of a lookup.
const (
	MatchedByExactKey     MatchedBy = "exact"
	MatchedByCanonicalKey MatchedBy = "canonical"
)

// CachedAnswer is an answer in the cache.
type CachedAnswer struct {
	ID           events.ID       `json:"id"` // of the event that contains the answer
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

// Totals count the answers in the cache and the answers since the log began.
type Totals struct {
	Answers   int64 `json:"answers"`
	Bytes     int64 `json:"bytes"`
	BytesMax  int64 `json:"bytes_max"`
	Stored    int64 `json:"given"`
	Uses      int64 `json:"uses"`
	Saved     int64 `json:"saved_micro_usd"` // what the uses would have cost without the cache
	Expired   int64 `json:"expired"`
	Evicted   int64 `json:"evicted"`
	Replaced  int64 `json:"replaced"`
	Forgotten int64 `json:"forgotten"`
}

// LookupKeys are the keys of a lookup.
type LookupKeys struct {
	Scope        string // the hash of a [Scope]
	ExactKey     string
	CanonicalKey string // "" if the question has no canonical key
	Now          time.Time
}

// Reader queries the read model. It is safe for concurrent use and writes nothing. If the
// database is missing, damaged or of another version, [projections.NeedsRebuild] is true
// for its errors.
type Reader struct {
	tables        *projections.Tables
	exactStmt     atomic.Pointer[sql.Stmt]
	canonicalStmt atomic.Pointer[sql.Stmt]
}

// NewReader returns a reader of an open database. It does not access the database.
func NewReader(db *sql.DB) *Reader { return &Reader{tables: projections.NewTables(db, Name, Version)} }

const columns = `id, position, at, scope, exact, canon, task, model, question, answer, bytes, cost, uses`

// Lookup finds a valid answer in the same scope: the one with the exact key, or else the
// newest one with the canonical key. ok is false if there is none.
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
	s := prepared.Load()
	if s == nil {
		if s, err = r.tables.Prepare(ctx, query); err != nil {
			return a, false, err
		}
		if !prepared.CompareAndSwap(nil, s) {
			if err := s.Close(); err != nil {
				return a, false, projections.WrapError(Name, err)
			}
			s = prepared.Load()
		}
	}
	a, err = scanAnswer(s.QueryRowContext(ctx, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return a, false, nil
	}
	return a, err == nil, projections.WrapError(Name, err)
}

// Close closes the prepared statements. The database remains open.
func (r *Reader) Close() error {
	var errs []error
	for _, p := range []*atomic.Pointer[sql.Stmt]{&r.exactStmt, &r.canonicalStmt} {
		if s := p.Swap(nil); s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

// scanAnswer reads columns from a *sql.Row or *sql.Rows.
func scanAnswer(row interface{ Scan(dest ...any) error }) (a CachedAnswer, err error) {
	var at int64
	err = row.Scan(&a.ID, &a.Position, &at, &a.Scope, &a.ExactKey, &a.CanonicalKey, &a.Task, &a.Model, &a.Question, &a.Answer, &a.Bytes, &a.Cost, &a.Uses)
	a.At = time.Unix(0, at).UTC()
	a.Expires = a.At.Add(TTL)
	return a, err
}

// List returns the answers, the most recently used first. The limit 0 means all.
func (r *Reader) List(ctx context.Context, limit int) ([]CachedAnswer, error) {
	if limit <= 0 {
		limit = -1
	}
	return r.queryAnswers(ctx, `SELECT `+columns+` FROM answers ORDER BY used DESC, id LIMIT ?`, limit)
}

// Get returns the answer with an id, with an id that ends with ref (at least 6 characters),
// or at a position. The error is ErrNotFound if no answer matches, and ErrUsage if several
// match.
func (r *Reader) Get(ctx context.Context, ref string) (CachedAnswer, error) {
	fail := func(kind events.ErrorKind, why string) (CachedAnswer, error) {
		return CachedAnswer{}, &events.Error{Op: "answers.Get", Kind: kind, Subject: fmt.Sprintf("answer %q", ref), Err: errors.New(why), Hint: "'cortex cache list' lists the answers"}
	}
	if ref == "" || strings.Trim(ref, "0123456789abcdef-") != "" {
		return fail(events.ErrUsage, "not the id of an answer")
	}
	found, err := r.queryAnswers(ctx, `SELECT `+columns+` FROM answers WHERE id = ?1 OR CAST(position AS TEXT) = ?1 OR length(?1) >= 6 AND substr(id, -length(?1)) = ?1 LIMIT 2`, ref)
	switch {
	case err != nil:
		return CachedAnswer{}, err
	case len(found) == 0:
		return fail(events.ErrNotFound, "not in the cache")
	case len(found) > 1:
		return fail(events.ErrUsage, "matches several answers")
	}
	return found[0], nil
}

func (r *Reader) queryAnswers(ctx context.Context, query string, args ...any) (out []CachedAnswer, err error) {
	err = r.tables.Each(ctx, query, args, func(rows *sql.Rows) error {
		a, err := scanAnswer(rows)
		out = append(out, a)
		return err
	})
	return out, err
}

// Totals returns the counters of the cache.
func (r *Reader) Totals(ctx context.Context) (Totals, error) {
	t := Totals{BytesMax: MaxBytes}
	_, err := r.tables.QueryRow(ctx, `SELECT bytes, given, uses, saved, expired, evicted, replaced, forgotten FROM totals WHERE id = 1`, nil,
		&t.Bytes, &t.Stored, &t.Uses, &t.Saved, &t.Expired, &t.Evicted, &t.Replaced, &t.Forgotten)
	t.Answers = t.Stored - t.Expired - t.Evicted - t.Replaced - t.Forgotten
	return t, err
}
