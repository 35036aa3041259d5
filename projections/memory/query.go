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

// FormatVersion is the version of the JSON form of the results.
const FormatVersion = 1

// ItemKind is the kind of a remembered item.
type ItemKind string

// The kinds.
const (
	ItemStated  ItemKind = "stated"  // a preference that the user stated
	ItemLearned ItemKind = "learnt"  // a package that the user chose for a phrase
	ItemFailure ItemKind = "failure" // a transaction that failed
)

// RememberedItem is one remembered item of a user.
type RememberedItem struct {
	Name string    `json:"name"`
	Kind ItemKind  `json:"kind"`
	Text string    `json:"text"`
	At   time.Time `json:"at"`
	// Encrypted is true if the log holds the text encrypted. Unreadable is true if the
	// key is destroyed or not accessible to the reader; Text is empty then.
	Encrypted   bool               `json:"sealed,omitempty"`
	Unreadable  bool               `json:"forgotten,omitempty"`
	Phrase      string             `json:"words,omitempty"`   // of ItemLearned: the phrase
	Package     events.PackageName `json:"package,omitempty"` // of ItemLearned and ItemFailure
	TimesChosen int                `json:"times,omitempty"`   // of ItemLearned: how often the package was chosen
	TimesAsked  int                `json:"of,omitempty"`      // of ItemLearned: how often any package was chosen
	// Confidence of ItemLearned is from 0 to 1: the share of the choices, lower if there
	// are few of them.
	Confidence  float64 `json:"confidence,omitempty"`
	Transaction int     `json:"transaction,omitempty"` // of ItemFailure: the number of the transaction
	FixedBy     int     `json:"fixed_by,omitempty"`    // of ItemFailure: the number of a later one that succeeded
	// Events are the events that the item comes from, at most the last 10.
	Events []events.ID `json:"events"`
}

// ChoiceCount counts the choices of one package for a phrase.
type ChoiceCount struct {
	Package     events.PackageName
	TimesChosen int
	TimesAsked  int // choices of any package for the phrase
}

// Suggestion is a suggested command and the events that it comes from.
type Suggestion struct {
	ID      string      `json:"id"`
	Text    string      `json:"text"`
	Command string      `json:"try"`
	Events  []events.ID `json:"events"`
}

// The limits of the results.
const (
	maxEvents      = 10
	maxEntries     = 1000 // the newest of each kind
	maxSuggestions = 10
	minHabitTimes  = 2 // the number of choices that make a habit
)

// UnsealFunc decrypts a stated preference. ok is false if the reader has no key of the
// user.
type UnsealFunc func(uid int, sealed events.Sealed) (text string, ok bool)

// Reader queries the items of one user. It is safe for concurrent use and writes nothing.
// If the database is missing, damaged or of another version, [projections.NeedsRebuild] is
// true for its errors.
type Reader struct {
	tables *projections.Tables
	uid    int
	unseal UnsealFunc
}

// NewReader returns a reader of an open database for one user. It does not access the
// database.
func NewReader(db *sql.DB, uid int, unseal UnsealFunc) *Reader {
	return &Reader{projections.NewTables(db, Name, Version), uid, unseal}
}

// List returns all items: first the stated preferences, then the choices, then the
// failures; the newest of each first.
func (r *Reader) List(ctx context.Context) ([]RememberedItem, error) {
	var out []RememberedItem
	for _, read := range []func(context.Context) ([]RememberedItem, error){r.stated, r.learned, r.failures} {
		items, err := read(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, items...)
	}
	return out, nil
}

func (r *Reader) stated(ctx context.Context) ([]RememberedItem, error) {
	return projections.QueryAll(ctx, r.tables, func(rows *sql.Rows) (RememberedItem, error) {
		e, sealed, at := RememberedItem{Kind: ItemStated, Encrypted: true, Events: make([]events.ID, 1)}, events.Sealed{}, int64(0)
		err := rows.Scan(&e.Name, &at, &e.Events[0], &sealed.Key, &sealed.Nonce, &sealed.Text)
		e.At = time.Unix(0, at).UTC()
		text, ok := r.unseal(r.uid, sealed)
		e.Text, e.Unreadable = text, !ok
		return e, err
	}, `SELECT entry, at, event, key, nonce, text FROM stated WHERE uid = ? ORDER BY position DESC LIMIT ?`, r.uid, maxEntries)
}

func (r *Reader) learned(ctx context.Context) ([]RememberedItem, error) {
	items, err := projections.QueryAll(ctx, r.tables, scanLearned, `SELECT entry, at, words, name, times,
		(SELECT sum(times) FROM choices AS o WHERE o.uid = c.uid AND o.words = c.words)
		FROM choices AS c WHERE uid = ? ORDER BY last DESC, entry LIMIT ?`, r.uid, maxEntries)
	if err != nil {
		return nil, err
	}
	for i := range items {
		e := &items[i]
		if e.Events, err = projections.QueryAll(ctx, r.tables, scanOne[events.ID],
			`SELECT event FROM made WHERE uid = ? AND words = ? AND name = ? AND counts = 1 ORDER BY position DESC LIMIT ?`, r.uid, e.Phrase, string(e.Package), maxEvents); err != nil {
			return nil, err
		}
	}
	return items, nil
}

func scanLearned(rows *sql.Rows) (RememberedItem, error) {
	e, at := RememberedItem{Kind: ItemLearned}, int64(0)
	err := rows.Scan(&e.Name, &at, &e.Phrase, &e.Package, &e.TimesChosen, &e.TimesAsked)
	e.At = time.Unix(0, at).UTC()
	e.Confidence = float64(e.TimesChosen) / float64(e.TimesAsked+1)
	e.Text = fmt.Sprintf("for %q you chose %s, %d of %d times", e.Phrase, e.Package, e.TimesChosen, e.TimesAsked)
	return e, err
}

func (r *Reader) failures(ctx context.Context) ([]RememberedItem, error) {
	return projections.QueryAll(ctx, r.tables, scanFailure, `SELECT entry, at, number, verb, name, event, reason, fixed, fixed_event FROM failures
		WHERE uid = ? ORDER BY position DESC LIMIT ?`, r.uid, maxEntries)
}

func scanFailure(rows *sql.Rows) (RememberedItem, error) {
	e, at, verb, reason := RememberedItem{Kind: ItemFailure, Events: make([]events.ID, 1)}, int64(0), "", ""
	var fixed events.ID
	err := rows.Scan(&e.Name, &at, &e.Transaction, &verb, &e.Package, &e.Events[0], &reason, &e.FixedBy, &fixed)
	e.At = time.Unix(0, at).UTC()
	e.Text = fmt.Sprintf("%s %s failed: %s", verb, e.Package, reason)
	if e.FixedBy != 0 {
		e.Text += fmt.Sprintf("; transaction %d succeeded later", e.FixedBy)
		e.Events = append(e.Events, fixed)
	}
	return e, err
}

// scanOne reads a row of one column.
func scanOne[T any](rows *sql.Rows) (v T, err error) {
	err = rows.Scan(&v)
	return v, err
}

// PastChoices returns the earlier choices for a phrase, the most frequent first.
func (r *Reader) PastChoices(ctx context.Context, phrase string) ([]ChoiceCount, error) {
	total := 0
	out, err := projections.QueryAll(ctx, r.tables, func(rows *sql.Rows) (c ChoiceCount, err error) {
		err = rows.Scan(&c.Package, &c.TimesChosen)
		total += c.TimesChosen
		return c, err
	}, `SELECT name, times FROM choices WHERE uid = ? AND words = ? ORDER BY times DESC, last DESC`, r.uid, NormalizePhrase(phrase))
	for i := range out {
		out[i].TimesAsked = total
	}
	return out, err
}

// Suggestions returns suggestions that the user has not dismissed: for failures that no
// later transaction fixed, and for habits.
func (r *Reader) Suggestions(ctx context.Context) ([]Suggestion, error) {
	items, err := r.List(ctx)
	if err != nil {
		return nil, err
	}
	dismissed, err := projections.QueryAll(ctx, r.tables, scanOne[string], `SELECT suggestion FROM dismissed WHERE uid = ?`, r.uid)
	if err != nil {
		return nil, err
	}
	out := []Suggestion{}
	seen := map[string]bool{}
	for _, e := range items {
		if slices.Contains(dismissed, e.Name) || seen[e.Text] || len(out) == maxSuggestions {
			continue
		}
		seen[e.Text] = true
		switch {
		case e.Kind == ItemFailure && e.FixedBy == 0:
			out = append(out, Suggestion{e.Name, e.Text + "; it has not succeeded since", fmt.Sprintf("cortex show %d", e.Transaction), e.Events})
		case e.Kind == ItemLearned && e.TimesChosen >= minHabitTimes && e.TimesChosen == e.TimesAsked:
			out = append(out, Suggestion{e.Name, e.Text + "; use the package name to skip the question", "cortex install " + string(e.Package), e.Events})
		}
	}
	return out, nil
}

// StatedPreferences returns the readable preferences that the user stated, newest first.
func (r *Reader) StatedPreferences(ctx context.Context, limit int) ([]string, error) {
	items, err := r.stated(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range items {
		if !e.Unreadable && len(out) < limit {
			out = append(out, e.Text)
		}
	}
	return out, nil
}
