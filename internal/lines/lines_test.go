package lines_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"cortex/internal/lines"
)

func read(t *testing.T, r io.Reader, limit int) []string {
	t.Helper()
	var got []string
	if err := lines.Each(r, limit, func(l string) { got = append(got, l) }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestEach(t *testing.T) {
	long := strings.Repeat("x", 200_000)
	for _, tc := range []struct {
		text  string
		limit int
		want  []string
	}{
		{"", 10, nil},
		{"a", 10, []string{"a"}},
		{"a\n", 10, []string{"a"}},
		{"a\r\n\nb", 10, []string{"a", "", "b"}},
		{"abcdef\ng\n", 4, []string{"abcd", "g"}},
		{long + "\nb\n", 100_000, []string{long[:100_000], "b"}},
		{"b\n" + long, 300_000, []string{"b", long}},
	} {
		if got := read(t, strings.NewReader(tc.text), tc.limit); !slices.Equal(got, tc.want) {
			t.Errorf("%.20q, limit %d: %d lines, %.100q", tc.text, tc.limit, len(got), got)
		}
	}
}

func TestEachReturnsReadError(t *testing.T) {
	cause := errors.New("disk error")
	n := 0
	err := lines.Each(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(cause)), 10, func(string) { n++ })
	if !errors.Is(err, cause) || n != 2 {
		t.Errorf("%v after %d lines", err, n)
	}
}

// FuzzEach compares with splitting the whole text.
func FuzzEach(f *testing.F) {
	f.Add("a\nb\n\nc", 3)
	f.Add("long line", 2)
	f.Add("\r\n\r", 1)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		if limit < 1 || limit > 1<<20 {
			return
		}
		var want []string
		for l := range strings.Lines(text) {
			l = strings.TrimRight(l, "\r\n")
			want = append(want, l[:min(len(l), limit)])
		}
		if got := read(t, strings.NewReader(text), limit); !slices.Equal(got, want) {
			t.Errorf("%q, limit %d: %q, want %q", text, limit, got, want)
		}
	})
}
