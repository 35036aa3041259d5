package pkgindex

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"cortex/events"
)

// Index is an open index. It is safe for concurrent use.
type Index struct {
	db          *sql.DB
	fingerprint string
	sources     string
	total       int
}

// Open opens an index. It fails with ErrNotFound when the index is missing or has another
// version of the schema. Then the caller builds it.
func Open(ctx context.Context, path string) (*Index, error) {
	missing := func(err error) (*Index, error) {
		return nil, &events.Error{Op: "pkgindex.Open", Kind: events.ErrNotFound, Subject: path, Err: err, Hint: "build the package index with 'cortex catalog build'"}
	}
	if _, err := os.Stat(path); err != nil {
		return missing(err)
	}
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&immutable=1&_pragma=query_only(1)&_pragma=mmap_size(268435456)&_pragma=cache_size(-16000)")
	if err != nil {
		return missing(err)
	}
	c := &Index{db: db}
	err = db.QueryRowContext(ctx, `SELECT (SELECT value FROM about WHERE key = 'fingerprint'), (SELECT value FROM about WHERE key = 'sources'), (SELECT max(id) FROM packages)`).
		Scan(&c.fingerprint, &c.sources, &c.total)
	if err != nil {
		return missing(errors.Join(err, db.Close()))
	}
	return c, nil
}

// Close closes the index.
func (c *Index) Close() error { return c.db.Close() }

// UpToDate reports whether the index was built from the current lists in dirs.
func (c *Index) UpToDate(dirs []string) bool {
	mark, err := Fingerprint(dirs)
	return err == nil && mark == c.fingerprint
}

// Sources returns a readable list of the kinds of data in the index.
func (c *Index) Sources() string { return c.sources }

// Fingerprint returns the fingerprint of the lists that the index was built from. An answer
// that depends on the index is valid for this fingerprint only.
func (c *Index) Fingerprint() string { return c.fingerprint }

// PackageCount returns the number of packages in the index.
func (c *Index) PackageCount() int { return c.total }

// maxRanked is how many matches with the best bm25 are ranked.
const maxRanked = 300

// hit is a match during ranking.
type hit struct {
	name, version, short, source, keys string
	flags, used, suggested, mentioned  int
	prior, bm25, score                 float64
	matched                            []string // words of the query in name, short description, tags and DEP-11
}

// Search returns at most n packages for one need, best first. Of several binary packages of
// one source package it returns the best.
func (c *Index) Search(ctx context.Context, need string, n int) ([]events.Candidate, error) {
	words, err := c.queryWords(ctx, need)
	if err != nil || len(words) == 0 {
		return nil, err
	}
	hits, err := c.match(ctx, words)
	if err != nil {
		return nil, err
	}
	rank(hits, words, need)
	var out []events.Candidate
	sources := map[string]bool{}
	for _, h := range hits {
		if sources[h.source] || len(h.matched) == 0 && len(out) > 0 && len(hits[0].matched) > 0 {
			continue
		}
		sources[h.source] = true
		out = append(out, events.Candidate{
			Name: events.PackageName(h.name), Version: events.Version(h.version), Description: h.short,
			Score: math.Round(h.score*100) / 100, Reasons: h.reasons(),
		})
		if len(out) == n {
			break
		}
	}
	return out, nil
}

// queryWord is one word of a query with its synonyms.
type queryWord struct {
	text     string
	synonyms []string // words that descriptions use for it
	count    int      // number of packages with the word or a synonym
}

// queryWords returns the words of a need to search for. It leaves out stop words, and very
// common words when there are two rarer ones.
func (c *Index) queryWords(ctx context.Context, need string) ([]queryWord, error) {
	var out []queryWord
	seen := map[string]bool{}
	var all []string
	for _, t := range tokens(need) {
		if len(t) > 1 && !stopWords[t] && !seen[t] || len(t) == 1 && strings.ContainsAny(t, "cr") {
			all = append(all, t)
		}
		seen[t] = true
	}
	if len(all) == 0 { // the need has stop words only
		for t := range seen {
			all = append(all, t)
		}
		slices.Sort(all)
	}
	for _, t := range all {
		w := queryWord{text: t, synonyms: synonyms[t]}
		for _, form := range append([]string{t}, w.synonyms...) {
			n, err := c.frequency(ctx, form)
			if err != nil {
				return nil, err
			}
			w.count += n
		}
		if w.count > 0 {
			out = append(out, w)
		}
	}
	rare := 0
	for _, w := range out {
		if w.count*10 <= c.total {
			rare++
		}
	}
	if rare >= 2 {
		out = slices.DeleteFunc(out, func(w queryWord) bool { return w.count*10 > c.total })
	}
	return out[:min(len(out), maxWords)], nil
}

// maxWords limits the words of one need.
const maxWords = 12

// frequency returns the number of packages with a word.
func (c *Index) frequency(ctx context.Context, t string) (n int, err error) {
	err = c.db.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT 20000)`, quote(t)).Scan(&n)
	return n, err
}

// Frequency returns the number of packages with a word, and 0 when the query fails.
func (c *Index) Frequency(t string) int {
	n, err := c.frequency(context.Background(), t)
	if err != nil {
		return 0
	}
	return n
}

// quote returns a word as a string of FTS5's query language.
func quote(t string) string { return `"` + strings.ReplaceAll(t, `"`, ``) + `"` }

// match returns the packages with the best bm25 for any of the words, and for all of the
// words.
func (c *Index) match(ctx context.Context, words []queryWord) ([]*hit, error) {
	var anyOf, allOf []string
	for _, w := range words {
		var forms []string
		for _, f := range append([]string{w.text}, w.synonyms...) {
			forms = append(forms, quote(f))
		}
		anyOf = append(anyOf, strings.Join(forms, " OR "))
		allOf = append(allOf, "("+strings.Join(forms, " OR ")+")")
	}
	found := map[string]*hit{}
	var out []*hit
	for _, query := range []string{strings.Join(anyOf, " OR "), strings.Join(allOf, " AND ")} {
		if query == "" || len(words) == 1 && len(out) > 0 {
			continue
		}
		rows, err := c.db.QueryContext(ctx, `SELECT p.name, p.version, p.short, p.source, p.keys, p.flags, p.used, p.suggested, p.mentioned, p.prior, m.rank FROM
			(SELECT rowid, bm25(words, 2, 5, 1, 2, 3, 1) AS rank FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?) m JOIN packages p ON p.id = m.rowid`, query, maxRanked)
		if err != nil {
			return nil, fmt.Errorf("search: %w", err)
		}
		for rows.Next() {
			h := &hit{}
			if err := rows.Scan(&h.name, &h.version, &h.short, &h.source, &h.keys, &h.flags, &h.used, &h.suggested, &h.mentioned, &h.prior, &h.bm25); err != nil {
				return nil, errors.Join(err, rows.Close())
			}
			if found[h.name] == nil {
				found[h.name] = h
				out = append(out, h)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// rank scores the hits and sorts them.
func rank(hits []*hit, words []queryWord, need string) {
	best := 0.0
	for _, h := range hits {
		best = min(best, h.bm25) // a lower bm25 of FTS5 is better
	}
	asked := map[string]bool{}
	for _, t := range tokens(need) {
		asked[t] = true
	}
	for _, h := range hits {
		keys := map[string]bool{}
		for k := range strings.FieldsSeq(h.keys) {
			keys[k] = true
		}
		weight, have := 0.0, 0.0
		for _, w := range words {
			idf := 1 / math.Log(2+float64(w.count))
			weight += idf
			if w.matches(keys) {
				have += idf
				h.matched = append(h.matched, w.text)
			}
		}
		if best < 0 {
			h.score = h.bm25 / best
		}
		if weight > 0 {
			h.score += coverWeight * have / weight
		}
		h.score += priorWeight * h.prior
		if h.flags&flagDesktop != 0 && (asked["server"] || asked["daemon"] || asked["service"]) {
			h.score -= serverWeight
		}
		if asked[h.name] || asked[strings.ReplaceAll(h.name, "-", "")] {
			h.score += .6
		}
	}
	slices.SortStableFunc(hits, func(a, b *hit) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.name, b.name))
	})
}

// The weights of the parts of a score; bm25 has weight 1.
const (
	coverWeight = .8
	priorWeight = 1.0
	// serverWeight is subtracted for a desktop application when the query asks for a server.
	serverWeight = .4
)

func (w queryWord) matches(keys map[string]bool) bool {
	if keys[stem(w.text)] {
		return true
	}
	for _, s := range w.synonyms {
		if keys[stem(s)] {
			return true
		}
	}
	return false
}

// reasons returns the reasons for a candidate's rank.
func (h *hit) reasons() []string {
	var out []string
	if len(h.matched) > 0 {
		out = append(out, "matches "+strings.Join(h.matched, ", "))
	} else {
		out = append(out, "its description has the words")
	}
	for _, r := range []struct {
		on   bool
		text string
	}{
		{h.used > 0, fmt.Sprintf("%d packages depend on it", h.used)},
		{h.suggested > 0, fmt.Sprintf("%d packages suggest it", h.suggested)},
		{h.mentioned > 0, fmt.Sprintf("%d descriptions mention it", h.mentioned)},
		{h.flags&flagDesktop != 0, "desktop application"},
		{h.flags&flagMeta != 0, "in a task or metapackage"},
		{h.flags&flagLibrary != 0, "library or language package"},
		{h.flags&flagPart != 0, "part of another package"},
	} {
		if r.on {
			out = append(out, r.text)
		}
	}
	return out
}
