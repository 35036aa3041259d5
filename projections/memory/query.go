package memory

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"cortex/events"
	"cortex/projections"
)

// FormatVersion is the version of the JSON form of the answers.
const FormatVersion = 1

// Kind says what kind of memory an entry is.
type Kind string

// The kinds.
const (
	Stated  Kind = "stated"  // a person said so
	Learnt  Kind = "learnt"  // seen from what was chosen
	Failure Kind = "failure" // something that did not work
)

// Entry is one memory.
type Entry struct {
	Name string    `json:"name"`
	Kind Kind      `json:"kind"`
	Text string    `json:"text"`
	At   time.Time `json:"at"`
	// Sealed says that the text is of a person, and Forgotten that nobody can read
	// it any more, or not who asks.
	Sealed    bool               `json:"sealed,omitempty"`
	Forgotten bool               `json:"forgotten,omitempty"`
	Words     string             `json:"words,omitempty"`   // for Learnt: what was asked for
	Package   events.PackageName `json:"package,omitempty"` // for Learnt and Failure
	Times     int                `json:"times,omitempty"`   // for Learnt: how often it was chosen …
	Of        int                `json:"of,omitempty"`      // … of so many choices for the words
	// Confidence is for Learnt, 0 to 1: the share of the choices, less sure of few.
	Confidence float64 `json:"confidence,omitempty"`
	Number     int     `json:"transaction,omitempty"` // for Failure: which one it was …
	Fixed      int     `json:"fixed_by,omitempty"`    // … and which one worked later
	// Events are those it rests on, the last ones of many.
	Events []events.ID `json:"events"`
}

// Choice is what was chosen before for some words.
type Choice struct {
	Package events.PackageName
	Times   int
	Of      int
}

// Suggestion is something worth doing, and what it rests on.
type Suggestion struct {
	ID     string      `json:"id"`
	Text   string      `json:"text"`
	Try    string      `json:"try"` // a command
	Events []events.ID `json:"events"`
}

// Limits of what is told.
const (
	maxEvents      = 10
	maxEntries     = 1000 // of each kind, the newest
	maxSuggestions = 10
	sureTimes      = 2 // choices that make a habit
)

// Open opens what a person said; ok is false when there is no key for who asks.
type Open func(uid int, text events.Sealed) (string, bool)

// Reader answers questions about one person's memories. It writes nothing. A
// database that is missing, damaged or of another version gives errors for which
// [projections.Unreadable] is true.
type Reader struct {
	db   *sql.DB
	uid  int
	open Open
}

// NewReader returns a reader of an open database for one person.
func NewReader(db *sql.DB, uid int, open Open) *Reader { return &Reader{db, uid, open} }

// List gives every memory: what was said, what was learnt, what failed; of each the
// newest first.
func (r *Reader) List(ctx context.Context) ([]Entry, error) {
	if err := projections.CheckVersion(ctx, r.db, Name, Version); err != nil {
		return nil, err
	}
	var out []Entry
	for _, read := range []func(context.Context) ([]Entry, error){r.stated, r.learnt, r.failures} {
		entries, err := read(ctx)
		if err != nil {
			return nil, projections.Explain(Name, err)
		}
		out = append(out, entries...)
	}
	return out, nil
}

// all reads the rows of a query.
func all[T any](ctx context.Context, db *sql.DB, read func(func(...any) error) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // its error is rows.Err
	var out []T
	for rows.Next() {
		v, err := read(rows.Scan)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

func (r *Reader) stated(ctx context.Context) ([]Entry, error) {
	return all(ctx, r.db, func(scan func(...any) error) (Entry, error) {
		e, text, at := Entry{Kind: Stated, Sealed: true, Events: make([]events.ID, 1)}, events.Sealed{}, int64(0)
		err := scan(&e.Name, &at, &e.Events[0], &text.Key, &text.Nonce, &text.Text)
		e.At = time.Unix(0, at).UTC()
		said, ok := r.open(r.uid, text)
		e.Text, e.Forgotten = said, !ok
		return e, err
	}, `SELECT entry, at, event, key, nonce, text FROM stated WHERE uid = ? ORDER BY position DESC LIMIT ?`, r.uid, maxEntries)
}

func (r *Reader) learnt(ctx context.Context) ([]Entry, error) {
	entries, err := all(ctx, r.db, func(scan func(...any) error) (Entry, error) {
		e, at := Entry{Kind: Learnt}, int64(0)
		err := scan(&e.Name, &at, &e.Words, &e.Package, &e.Times, &e.Of)
		e.At = time.Unix(0, at).UTC()
		e.Confidence = float64(e.Times) / float64(e.Of+1)
		e.Text = fmt.Sprintf("for %q you chose %s, %d of %d times", e.Words, e.Package, e.Times, e.Of)
		return e, err
	}, `SELECT entry, at, words, name, times, (SELECT sum(times) FROM choices AS o WHERE o.uid = c.uid AND o.words = c.words)
		FROM choices AS c WHERE uid = ? ORDER BY last DESC, entry LIMIT ?`, r.uid, maxEntries)
	if err != nil {
		return nil, err
	}
	for i := range entries {
		e := &entries[i]
		if e.Events, err = all(ctx, r.db, func(scan func(...any) error) (id events.ID, err error) { return id, scan(&id) },
			`SELECT event FROM made WHERE uid = ? AND words = ? AND name = ? AND counts = 1 ORDER BY position DESC LIMIT ?`, r.uid, e.Words, string(e.Package), maxEvents); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

func (r *Reader) failures(ctx context.Context) ([]Entry, error) {
	return all(ctx, r.db, func(scan func(...any) error) (Entry, error) {
		e, at, verb, reason := Entry{Kind: Failure, Events: make([]events.ID, 1)}, int64(0), "", ""
		var fixed events.ID
		err := scan(&e.Name, &at, &e.Number, &verb, &e.Package, &e.Events[0], &reason, &e.Fixed, &fixed)
		e.At = time.Unix(0, at).UTC()
		e.Text = fmt.Sprintf("%s %s failed: %s", verb, e.Package, reason)
		if e.Fixed != 0 {
			e.Text += fmt.Sprintf("; transaction %d worked", e.Fixed)
			e.Events = append(e.Events, fixed)
		}
		return e, err
	}, `SELECT entry, at, number, verb, name, event, reason, fixed, fixed_event FROM failures WHERE uid = ? ORDER BY position DESC LIMIT ?`, r.uid, maxEntries)
}

// Chosen gives what was chosen before for words, the most frequent first.
func (r *Reader) Chosen(ctx context.Context, words string) ([]Choice, error) {
	if err := projections.CheckVersion(ctx, r.db, Name, Version); err != nil {
		return nil, err
	}
	total := 0
	out, err := all(ctx, r.db, func(scan func(...any) error) (c Choice, err error) {
		err = scan(&c.Package, &c.Times)
		total += c.Times
		return c, err
	}, `SELECT name, times FROM choices WHERE uid = ? AND words = ? ORDER BY times DESC, last DESC`, r.uid, Normal(words))
	for i := range out {
		out[i].Of = total
	}
	return out, projections.Explain(Name, err)
}

// Suggest gives what is worth doing and was not dismissed: what failed and has not
// worked since, and habits.
func (r *Reader) Suggest(ctx context.Context) ([]Suggestion, error) {
	entries, err := r.List(ctx)
	if err != nil {
		return nil, err
	}
	dismissed, err := all(ctx, r.db, func(scan func(...any) error) (name string, err error) { return name, scan(&name) },
		`SELECT suggestion FROM dismissed WHERE uid = ?`, r.uid)
	if err != nil {
		return nil, projections.Explain(Name, err)
	}
	out := []Suggestion{}
	told := map[string]bool{}
	for _, e := range entries {
		if slices.Contains(dismissed, e.Name) || told[e.Text] || len(out) == maxSuggestions {
			continue
		}
		told[e.Text] = true
		switch {
		case e.Kind == Failure && e.Fixed == 0:
			out = append(out, Suggestion{e.Name, e.Text + "; it has not worked since", fmt.Sprintf("cortex show %d", e.Number), e.Events})
		case e.Kind == Learnt && e.Times >= sureTimes && e.Times == e.Of:
			out = append(out, Suggestion{e.Name, e.Text + "; its name alone asks nothing", "cortex install " + string(e.Package), e.Events})
		}
	}
	return out, nil
}

// Said gives what the person said and can be read, the newest first.
func (r *Reader) Said(ctx context.Context, limit int) ([]string, error) {
	if err := projections.CheckVersion(ctx, r.db, Name, Version); err != nil {
		return nil, err
	}
	entries, err := r.stated(ctx)
	if err != nil {
		return nil, projections.Explain(Name, err)
	}
	var out []string
	for _, e := range entries {
		if !e.Forgotten && len(out) < limit {
			out = append(out, e.Text)
		}
	}
	return out, nil
}
