package projections

import (
	"slices"
	"testing"
)

func TestSplitStatements(t *testing.T) {
	for script, want := range map[string][]string{
		"":                                     nil,
		" ; -- only a comment":                 nil,
		"CREATE TABLE a (b INTEGER);":          {"CREATE TABLE a (b INTEGER)"},
		"-- x;\nCREATE TABLE a (\n\tb -- y\n)": {"CREATE TABLE a ( b )"},
		"A;B;":                                 {"A", "B"},
		"A '-- ; ''x' B; C 'open":              {"A '-- ; ''x' B", "C 'open"},
		"A - B -C":                             {"A - B -C"},
	} {
		if got := splitStatements(script); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", script, got, want)
		}
	}
}
