package memory_test

import (
	"database/sql"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
	"cortex/projections/memory"
)

func search(t *testing.T, entries []memory.RememberedItem, query string) ([]memory.RememberedItem, error) {
	t.Helper()
	index, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	index.SetMaxOpenConns(1)
	defer func() { _ = index.Close() }()
	return memory.Search(t.Context(), index, entries, query)
}

func TestSearchRanksByRelevance(t *testing.T) {
	entries := []memory.RememberedItem{
		{Name: "p1", Text: "a very long text about editors among many other things that have nothing to do with it at all, such as mail"},
		{Name: "p2", Text: "editors: vim"},
		{Name: "p3", Text: "no mail servers"},
		{Name: "p4", Text: "editors", Unreadable: true},
	}
	for query, want := range map[string][]string{
		"editor": {"p2", "p1"}, "mail editors": {"p1"}, "serv": {"p3"}, `vim" OR "mail`: nil, "NEAR( zzz": nil, "vim*": {"p2"}, "text:vim": nil,
	} {
		t.Run(query, func(t *testing.T) {
			found, err := search(t, entries, query)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range found {
				got = append(got, e.Name)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestSearchWithoutWordsIsAnError(t *testing.T) {
	if _, err := search(t, nil, `" * (`); !errors.Is(err, events.ErrUsage) {
		t.Errorf("got %v", err)
	}
}

// FuzzSearch checks that no query is a syntax error of FTS5.
func FuzzSearch(f *testing.F) {
	for _, s := range []string{"a b", `"`, "NOT a", "a AND", "^a", "{a b}: c", "é*", "\x00", "a\xff", "' --"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if _, err := search(t, []memory.RememberedItem{{Name: "p1", Text: "a b"}}, query); err != nil && !errors.Is(err, events.ErrUsage) {
			t.Errorf("%q: %v", query, err)
		}
	})
}
