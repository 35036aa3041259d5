package editdistance_test

import (
	"testing"

	"pgregory.net/rapid"

	"cortex/internal/editdistance"
)

func TestWithin(t *testing.T) {
	for _, tc := range []struct {
		a, b        string
		limit, want int
	}{
		{"", "", 0, 0},
		{"", "ab", 2, 2},
		{"cowsay", "cowsay", 2, 0},
		{"cowsya", "cowsay", 2, 1},
		{"cosay", "cowsay", 2, 1},
		{"cowsayy", "cowsay", 2, 1},
		{"cawsay", "cowsay", 2, 1},
		{"nginx", "cowsay", 2, 3},
		{"a", "abcdef", 2, 3},
		{"kitten", "sitting", 9, 3},
	} {
		if got := editdistance.Within(tc.a, tc.b, tc.limit); got != tc.want {
			t.Errorf("%q to %q within %d: %d, want %d", tc.a, tc.b, tc.limit, got, tc.want)
		}
	}
}

// TestWithinProperties checks symmetry, and that a limit changes only distances above it.
func TestWithinProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringOfN(rapid.RuneFrom([]rune("abc")), 0, 8, -1)
		a, b, limit := word.Draw(t, "a"), word.Draw(t, "b"), rapid.IntRange(0, 8).Draw(t, "limit")
		exact := editdistance.Within(a, b, 16)
		if exact != editdistance.Within(b, a, 16) || (exact == 0) != (a == b) || exact > max(len(a), len(b)) {
			t.Errorf("%q to %q: %d", a, b, exact)
		}
		if got := editdistance.Within(a, b, limit); (got <= limit) != (exact <= limit) || got <= limit && got != exact {
			t.Errorf("%q to %q within %d: %d, exactly %d", a, b, limit, got, exact)
		}
	})
}
