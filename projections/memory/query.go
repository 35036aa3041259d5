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

// ItemKind says what kind of memory an entry is.
type ItemKind string

// The kinds.
const (
	ItemStated  ItemKind = "stated"  // a person said so
	ItemLearned ItemKind = "learnt"  // seen from what was chosen
	ItemFailure ItemKind = "failure" // something that did not work
)

// RememberedItem is one memory.
type RememberedItem struct {
	Name string    `json:"name"`
	Kind ItemKind  `json:"kind"`
	Text string    `json:"text"`
	At   time.Time `json:"at"`
	// Encrypted says that the text is of a person, and Forgotten that nobody can read
	// it any more, or not who asks.
	Encrypted   bool               `json:"sealed,omitempty"`
	Unreadable  bool               `json:"forgotten,omitempty"`
	Phrase      string             `json:"words,omitempty"`   // for Learnt: what was asked for
	Package     events.PackageName `json:"package,omitempty"` // for Learnt and Failure
	TimesChosen int                `json:"times,omitempty"`   // for Learnt: how often it was chosen …
	TimesAsked  int                `json:"of,omitempty"`      // … of so many choices for the words
	// Confidence is for Learnt, 0 to 1: the share of the choices, less sure of few.
	Confidence  float64 `json:"confidence,omitempty"`
	Transaction int     `json:"transaction,omitempty"` // for Failure: which one it was …
	FixedBy     int     `json:"fixed_by,omitempty"`    // … and which one worked later
	// Events are those it rests on, the last ones of many.
	Events []events.ID `json:"events"`
}

// ChoiceCount is what was chosen before for some words.
type ChoiceCount struct {
	Package     events.PackageName
	TimesChosen int
	TimesAsked  int
}

// Suggestion is something worth doing, and what it rests on.
type Suggestion struct {
	ID      string      `json:"id"`
	Text    string      `json:"text"`
	Command string      `json:"try"` // a command
	Events  []events.ID `json:"events"`
}

// Limits of what is told.
const (
	maxEvents      = 10
	maxEntries     = 1000 // of each kind, the newest
	maxSuggestions = 10
	minHabitTimes  = 2 // choices that make a habit
)

// UnsealFunc opens what a person said; ok is false when there is no key for who asks.
type UnsealFunc func(uid int, text events.Sealed) (string, bool)

// Reader answers questions about one person's memories. It writes nothing. A
// database that is missing, damaged or of another version gives errors for which
// [projections.Unreadable] is true.
type Reader struct {
	db     *sql.DB
	uid    int
	unseal UnsealFunc
}

// NewReader returns a reader of an open database for one person.
func NewReader(db *sql.DB, uid int, open UnsealFunc) *Reader { return &Reader{db, uid, open} }

// List gives every memory: what was said, what was learnt, what failed; of each the
// newest first.
func (r *Reader) List(ctx context.Context) ([]RememberedItem, error) {
	if err := projections.CheckVersion(ctx, r.db, Name, Version); err != nil {
		return nil, err
	}
	var out []RememberedItem
	for _, read := range []func(context.Context) ([]RememberedItem, error){r.stated, r.learned, r.failures} {
		entries, err := read(ctx)
		if err != nil {
			return nil, projections.WrapError(Name, err)
		}
		out = append(out, entries...)
	}
	return out, nil
}

// queryAll reads the rows of a query.
func queryAll[T any](ctx context.Context, db *sql.DB, read func(func(...any) error) (T, error), query string, args ...any) ([]T, error) {
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

func (r *Reader) stated(ctx context.Context) ([]RememberedItem, error) {
	return queryAll(ctx, r.db, func(scan func(...any) error) (RememberedItem, error) {
		e, text, at := RememberedItem{Kind: ItemStated, Encrypted: true, Events: make([]events.ID, 1)}, events.Sealed{}, int64(0)
		err := scan(&e.Name, &at, &e.Events[0], &text.Key, &text.Nonce, &text.Text)
		e.At = time.Unix(0, at).UTC()
		said, ok := r.unseal(r.uid, text)
		e.Text, e.Unreadable = said, !ok
		return e, err
	}, `SELECT entry, at, event, key, nonce, text FROM stated WHERE uid = ? ORDER BY position DESC LIMIT ?`, r.uid, maxEntries)
}

func (r *Reader) learned(ctx context.Context) ([]RememberedItem, error) {
	entries, err := queryAll(ctx, r.db, func(scan func(...any) error) (RememberedItem, error) {
		e, at := RememberedItem{Kind: ItemLearned}, int64(0)
		err := scan(&e.Name, &at, &e.Phrase, &e.Package, &e.TimesChosen, &e.TimesAsked)
		e.At = time.Unix(0, at).UTC()
		e.Confidence = float64(e.TimesChosen) / float64(e.TimesAsked+1)
		e.Text = fmt.Sprintf("for %q you chose %s, %d of %d times", e.Phrase, e.Package, e.TimesChosen, e.TimesAsked)
		return e, err
	}, `SELECT entry, at, words, name, times, (SELECT sum(times) FROM choices AS o WHERE o.uid = c.uid AND o.words = c.words)
		FROM choices AS c WHERE uid = ? ORDER BY last DESC, entry LIMIT ?`, r.uid, maxEntries)
	if err != nil {
		return nil, err
	}
	for i := range entries {
		e := &entries[i]
		if e.Events, err = queryAll(ctx, r.db, func(scan func(...any) error) (id events.ID, err error) { return id, scan(&id) },
			`SELECT event FROM made WHERE uid = ? AND words = ? AND name = ? AND counts = 1 ORDER BY position DESC LIMIT ?`, r.uid, e.Phrase, string(e.Package), maxEvents); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

func (r *Reader) failures(ctx context.Context) ([]RememberedItem, error) {
	return queryAll(ctx, r.db, func(scan func(...any) error) (RememberedItem, error) {
		e, at, verb, reason := RememberedItem{Kind: ItemFailure, Events: make([]events.ID, 1)}, int64(0), "", ""
		var fixed events.ID
		err := scan(&e.Name, &at, &e.Transaction, &verb, &e.Package, &e.Events[0], &reason, &e.FixedBy, &fixed)
		e.At = time.Unix(0, at).UTC()
		e.Text = fmt.Sprintf("%s %s failed: %s", verb, e.Package, reason)
		if e.FixedBy != 0 {
			e.Text += fmt.Sprintf("; transaction %d worked", e.FixedBy)
			e.Events = append(e.Events, fixed)
		}
		return e, err
	}, `SELECT entry, at, number, verb, name, event, reason, fixed, fixed_event FROM failures WHERE uid = ? ORDER BY position DESC LIMIT ?`, r.uid, maxEntries)
}

// PastChoices gives what was chosen before for words, the most frequent first.
func (r *Reader) PastChoices(ctx context.Context, words string) ([]ChoiceCount, error) {
	if err := projections.CheckVersion(ctx, r.db, Name, Version); err != nil {
		return nil, err
	}
	total := 0
	out, err := queryAll(ctx, r.db, func(scan func(...any) error) (c ChoiceCount, err error) {
		err = scan(&c.Package, &c.TimesChosen)
		total += c.TimesChosen
		return c, err
	}, `SELECT name, times FROM choices WHERE uid = ? AND words = ? ORDER BY times DESC, last DESC`, r.uid, NormalizePhrase(words))
	for i := range out {
		out[i].TimesAsked = total
	}
	return out, projections.WrapError(Name, err)
}

// Suggestions gives what is worth doing and was not dismissed: what failed and has not
// worked since, and habits.
func (r *Reader) Suggestions(ctx context.Context) ([]Suggestion, error) {
	entries, err := r.List(ctx)
	if err != nil {
		return nil, err
	}
	dismissed, err := queryAll(ctx, r.db, func(scan func(...any) error) (name string, err error) { return name, scan(&name) },
		`SELECT suggestion FROM dismissed WHERE uid = ?`, r.uid)
	if err != nil {
		return nil, projections.WrapError(Name, err)
	}
	out := []Suggestion{}
	told := map[string]bool{}
	for _, e := range entries {
		if slices.Contains(dismissed, e.Name) || told[e.Text] || len(out) == maxSuggestions {
			continue
		}
		told[e.Text] = true
		switch {
		case e.Kind == ItemFailure && e.FixedBy == 0:
			out = append(out, Suggestion{e.Name, e.Text + "; it has not worked since", fmt.Sprintf("cortex show %d", e.Transaction), e.Events})
		case e.Kind == ItemLearned && e.TimesChosen >= minHabitTimes && e.TimesChosen == e.TimesAsked:
			out = append(out, Suggestion{e.Name, e.Text + "; its name alone asks nothing", "cortex install " + string(e.Package), e.Events})
		}
	}
	return out, nil
}

// StatedPreferences gives what the person said and can be read, the newest first.
func (r *Reader) StatedPreferences(ctx context.Context, limit int) ([]string, error) {
	if err := projections.CheckVersion(ctx, r.db, Name, Version); err != nil {
		return nil, err
	}
	entries, err := r.stated(ctx)
	if err != nil {
		return nil, projections.WrapError(Name, err)
	}
	var out []string
	for _, e := range entries {
		if !e.Unreadable && len(out) < limit {
			out = append(out, e.Text)
		}
	}
	return out, nil
}
