package memory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"cortex/events"
)

// Search returns the items that contain every word of a query, ranked by bm25. index is an
// empty in-memory database with one connection. The caller closes it, so that decrypted
// texts are never in a file.
func Search(ctx context.Context, index *sql.DB, items []RememberedItem, query string) ([]RememberedItem, error) {
	match := matchExpression(query)
	if match == "" {
		return nil, &events.Error{Op: "memory.Search", Kind: events.ErrUsage, Subject: fmt.Sprintf("query %q", query), Err: errors.New("it contains no word")}
	}
	if _, err := index.ExecContext(ctx, `CREATE VIRTUAL TABLE entries USING fts5 (text, name UNINDEXED, tokenize = 'porter unicode61')`); err != nil {
		return nil, err
	}
	for _, e := range items {
		if e.Unreadable {
			continue
		}
		if _, err := index.ExecContext(ctx, `INSERT INTO entries VALUES (?, ?)`, e.Text, e.Name); err != nil {
			return nil, err
		}
	}
	rows, err := index.QueryContext(ctx, `SELECT name FROM entries WHERE entries MATCH ? ORDER BY bm25(entries), rowid`, match)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err returns its error
	byName := map[string]RememberedItem{}
	for _, e := range items {
		byName[e.Name] = e
	}
	out := []RememberedItem{}
	for rows.Next() {
		name, err := scanOne[string](rows)
		if err != nil {
			return nil, err
		}
		out = append(out, byName[name])
	}
	return out, rows.Err()
}

// matchExpression quotes each word, so that FTS5 sees no operator. The last word matches as
// a prefix.
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

// isWordRune reports whether the tokenizer may use the rune in a word.
func isWordRune(r rune) bool {
	return r > 127 || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}
