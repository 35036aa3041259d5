package pkgindex

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"cortex/events"
)

// candidatesPerNeed is the maximum number of candidates for a need.
const candidatesPerNeed = 5

// Resolve splits a request into needs and finds candidates for each. A need that is the name
// of a package, a name that one package provides, or one letter away from exactly one name,
// has that package as its only candidate.
func (c *Index) Resolve(ctx context.Context, request string) ([]events.Need, error) {
	var out []events.Need
	for _, words := range SplitNeeds(request) {
		n := events.Need{Phrase: words}
		named, err := c.matchName(ctx, words)
		if err != nil {
			return nil, err
		}
		if named != nil {
			n.Candidates, n.ExactName, n.Margin = []events.Candidate{*named}, len(named.Reasons) == 1 && named.Reasons[0] == exactReason, 1
			out = append(out, n)
			continue
		}
		if n.Candidates, err = c.Search(ctx, words, candidatesPerNeed); err != nil {
			return nil, err
		}
		switch len(n.Candidates) {
		case 0:
		case 1:
			n.Margin = 1
		default:
			n.Margin = min(1, max(0, n.Candidates[0].Score-n.Candidates[1].Score))
		}
		out = append(out, n)
	}
	return out, nil
}

const exactReason = "this is its name"

// matchName returns the package with this name, or nil.
func (c *Index) matchName(ctx context.Context, words string) (*events.Candidate, error) {
	name := strings.TrimSpace(words)
	if strings.ContainsAny(name, " \t") || events.PackageName(name).Validate() != nil {
		return nil, nil
	}
	for _, try := range []struct{ query, arg, reason string }{
		{`SELECT name, version, short FROM packages WHERE name = ? LIMIT 2`, name, exactReason},
		{`SELECT p.name, p.version, p.short FROM provides v JOIN packages p ON p.id = v.id WHERE v.name = ? ORDER BY p.prior DESC LIMIT 2`, name, "provides " + name},
	} {
		found, err := c.queryCandidates(ctx, try.query, try.arg)
		if err != nil {
			return nil, err
		}
		if len(found) == 1 {
			found[0].Reasons = []string{try.reason}
			return &found[0], nil
		}
	}
	if len(name) < 4 || c.Frequency(name) > 0 {
		return nil, nil // an ordinary word
	}
	near, err := c.oneEditAway(ctx, name)
	if err != nil || len(near) != 1 {
		return nil, err
	}
	near[0].Reasons = []string{fmt.Sprintf("its name differs from %q by one letter", name)}
	return &near[0], nil
}

// Get returns the package with this name.
func (c *Index) Get(ctx context.Context, name events.PackageName) (events.Candidate, bool, error) {
	found, err := c.queryCandidates(ctx, `SELECT name, version, short FROM packages WHERE name = ?`, string(name))
	if err != nil || len(found) == 0 {
		return events.Candidate{}, false, err
	}
	return found[0], true, nil
}

// Has reports whether the index has a package with this name.
func (c *Index) Has(ctx context.Context, name events.PackageName) (bool, error) {
	_, ok, err := c.Get(ctx, name)
	return ok, err
}

// WithPrefix returns at most n packages whose names start with prefix, ordered by name.
func (c *Index) WithPrefix(ctx context.Context, prefix string, n int) ([]events.Candidate, error) {
	const pastNames = "{" // sorts after every character of a name
	return c.queryCandidates(ctx, `SELECT name, version, short FROM packages WHERE name >= ? AND name < ? ORDER BY name LIMIT ?`, prefix, prefix+pastNames, n)
}

// oneEditAway returns the packages whose name is one edit away.
func (c *Index) oneEditAway(ctx context.Context, name string) ([]events.Candidate, error) {
	var out []events.Candidate
	found, err := c.queryCandidates(ctx, `SELECT name, version, short FROM packages WHERE length(name) BETWEEN ? AND ? AND (substr(name, 1, 1) = ? OR substr(name, 2, 2) = ?)`,
		len(name)-1, len(name)+1, name[:1], name[1:3])
	for _, f := range found {
		if oneEdit(string(f.Name), name) {
			out = append(out, f)
		}
	}
	return out, err
}

func (c *Index) queryCandidates(ctx context.Context, query string, args ...any) ([]events.Candidate, error) {
	rows, err := c.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("look up a package: %w", err)
	}
	defer rows.Close()
	var out []events.Candidate
	for rows.Next() {
		f := events.Candidate{Score: 1}
		if err := rows.Scan(&f.Name, &f.Version, &f.Description); err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, rows.Err()
}

// oneEdit reports whether a becomes b when one letter is changed, added or removed, or two
// adjacent letters are swapped.
func oneEdit(a, b string) bool {
	if a == b || len(a) > len(b)+1 || len(b) > len(a)+1 {
		return false
	}
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	x, y := a[i:], b[i:]
	switch {
	case len(x) == len(y) && x[1:] == y[1:]:
		return true
	case len(x) == len(y) && len(x) > 1 && x[0] == y[1] && x[1] == y[0] && x[2:] == y[2:]:
		return true
	case len(x) == len(y)+1:
		return x[1:] == y
	case len(y) == len(x)+1:
		return y[1:] == x
	}
	return false
}

// SplitNeeds splits a request into its needs: "install a web server and a database" has
// two. An "and" splits only before an article or "also", so "monitor cpu and memory usage" is one
// need.
func SplitNeeds(request string) []string {
	words := strings.Fields(strings.NewReplacer(",", " , ", ";", " , ").Replace(strings.ToLower(events.SanitizeLine(request, events.MaxTextBytes))))
	for len(words) > 0 && leadingWords[words[0]] {
		words = words[1:]
	}
	var out []string
	var need []string
	flush := func() {
		if len(need) > 0 && slices.ContainsFunc(need, func(w string) bool { return !stopWords[w] }) {
			out = append(out, strings.Join(need, " "))
		}
		need = nil
	}
	for i, w := range words {
		next := ""
		if i+1 < len(words) {
			next = words[i+1]
		}
		switch {
		case w == ",":
			flush()
		case (w == "and" || w == "plus" || w == "also") && (len(need) == 0 || articleWords[next] || next == "also"):
			flush()
		case len(need) == 0 && (articleWords[w] || w == "also" || w == "then"):
		default:
			need = append(need, w)
		}
	}
	flush()
	if len(out) == 0 && len(words) > 0 {
		out = append(out, strings.Join(words, " "))
	}
	return out
}

// leadingWords are removed from the beginning of a request.
var leadingWords = wordSet(`please install add get give me i we want need would like to set up setup put some something can could you`)

var articleWords = wordSet(`a an the some another something`)
