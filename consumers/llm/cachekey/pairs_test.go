package cachekey_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"cortex/consumers/llm/cachekey"
)

var morePairs = flag.String("pairs", "", "measure the pairs in this file too")

type pair struct {
	same bool
	kind string
	a, b string
}

func readPairs(t testing.TB, path string) []pair {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []pair
	for line := range strings.Lines(string(raw)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 4 || f[0] != "eq" && f[0] != "neq" {
			t.Fatalf("%s: malformed line %q", path, line)
		}
		out = append(out, pair{f[0] == "eq", f[1], f[2], f[3]})
	}
	return out
}

type score struct{ same, hits, differ, wrong int }

func (s score) recall() float64 { return float64(s.hits) / float64(s.same) }

// measure counts the pairs with equal keys.
func measure(t *testing.T, pairs []pair, tell func(string, ...any)) (all score, kinds map[string]score) {
	t.Helper()
	v := debian(t)
	kinds = map[string]score{}
	for _, p := range pairs {
		a, oka := cachekey.Compute(p.a, v)
		b, okb := cachekey.Compute(p.b, v)
		hit := oka && okb && a == b
		s := kinds[p.kind]
		switch {
		case p.same:
			s.same++
			all.same++
			if hit {
				s.hits++
				all.hits++
			} else {
				tell("missed (%s): %q is [%s], %q is [%s]", p.kind, p.a, a, p.b, b)
			}
		default:
			s.differ++
			all.differ++
			if hit {
				s.wrong++
				all.wrong++
				t.Errorf("false hit (%s): %q and %q are both [%s]", p.kind, p.a, p.b, a)
			}
		}
		kinds[p.kind] = s
	}
	return all, kinds
}

// No near miss may have the key of the other request. The share of paraphrases with
// equal keys must stay a little below the measured one or above.
func TestPairs(t *testing.T) {
	halves := []struct {
		name, path string
		tell       func(string, ...any)
		atLeast    float64
	}{
		{"development", "testdata/pairs_develop.tsv", t.Logf, 0.85},
		{"report", "testdata/pairs_report.tsv", func(string, ...any) {}, 0.85},
	}
	if *morePairs != "" {
		halves = append(halves, halves[0])
		halves[2].name, halves[2].path, halves[2].atLeast = "given", *morePairs, 0
	}
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "half\tkind\tparaphrases\tfound\tnear misses\tfalse hits")
	for _, h := range halves {
		all, kinds := measure(t, readPairs(t, h.path), h.tell)
		for _, kind := range slices.Sorted(maps.Keys(kinds)) {
			s := kinds[kind]
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\n", h.name, kind, s.same, s.hits, s.differ, s.wrong)
		}
		fmt.Fprintf(w, "%s\tall\t%d\t%d (%.0f%%)\t%d\t%d\n", h.name, all.same, all.hits, 100*all.recall(), all.differ, all.wrong)
		if all.recall() < h.atLeast {
			t.Errorf("%s: %d of %d paraphrases found, want at least %.0f%%", h.name, all.hits, all.same, 100*h.atLeast)
		}
	}
	_ = w.Flush() // into memory
	t.Log("\n" + out.String())
}
