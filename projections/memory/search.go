package memory

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"cortex/events"
)

// Search gives the entries in which every word of a query occurs, the best first
// (bm25). index is an empty database of one connection that the caller drops: what
// people said is in the clear there and in no file.
func Search(ctx context.Context, index *sql.DB, entries []RememberedItem, query string) ([]RememberedItem, error) {
	match := matchExpression(query)
	if match == "" {
		return nil, &events.Error{Op: "memory.Search", Kind: events.ErrUsage, Subject: "the words", Err: errors.New("there is no word to search for")}
	}
	if _, err := index.ExecContext(ctx, `CREATE VIRTUAL TABLE entries USING fts5 (text, name UNINDEXED, tokenize = 'porter unicode61')`); err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Unreadable {
			continue
		}
		if _, err := index.ExecContext(ctx, `INSERT INTO entries VALUES (?, ?)`, e.Text, e.Name); err != nil {
			return nil, err
		}
	}
	names, err := queryAll(ctx, index, func(scan func(...any) error) (name string, err error) { return name, scan(&name) },
		`SELECT name FROM entries WHERE entries MATCH ? ORDER BY bm25(entries), rowid`, match)
	if err != nil {
		return nil, err
	}
	byName := map[string]RememberedItem{}
	for _, e := range entries {
		byName[e.Name] = e
	}
	out := []RememberedItem{}
	for _, name := range names {
		out = append(out, byName[name])
	}
	return out, nil
}

// matchExpression quotes each word, so that nothing in it is an operator; the last may be
// the beginning of one.
func matchExpression(query string) string {
	var out []string
	for _, w := range strings.Fields(strings.ReplaceAll(query, "\x00", " ")) {
		if strings.ContainsFunc(w, isWordRune) {
			out = append(out, `"`+strings.ReplaceAll(w, `"`, `""`)+`"`)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return strings.Join(out, " ") + "*"
}

// isWordRune reports whether the tokenizer may see a word in it.
func isWordRune(r rune) bool {
	return r > 127 || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}
