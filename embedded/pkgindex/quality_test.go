package pkgindex_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cortex/embedded/pkgindex"
	"cortex/events"
)

var (
	lists  = flag.String("lists", "", "directories with apt's lists, by commas: measure the resolver on them")
	misses = flag.Bool("misses", false, "print the requests of the development half whose first candidate is not accepted")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type request struct {
	words    string
	accepted []string
}

func requests(tb testing.TB, names ...string) []request {
	tb.Helper()
	var out []request
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			tb.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			words, accepted, ok := strings.Cut(strings.TrimSpace(line), "\t")
			if !ok {
				tb.Fatalf("%s: %q", name, line)
			}
			out = append(out, request{words, strings.Split(accepted, "|")})
		}
	}
	return out
}

// halves are requests with accepted answers: one half to tune the ranking, and one half for the
// report only.
var halves = []struct {
	name  string
	files []string
}{{"development", []string{"shared_dev.tsv", "dev.tsv"}}, {"report", []string{"report.tsv"}}}

// TestReport ranks the requests with this machine's lists; run it with 'make resolver-report'.
func TestReport(t *testing.T) {
	if *lists == "" {
		t.Log("no -lists: nothing is measured; see 'make resolver-report'")
		return
	}
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "catalog.db")
	start := time.Now()
	if err := pkgindex.Build(ctx, pkgindex.Config{Dirs: strings.Split(*lists, ","), Path: path}); err != nil {
		t.Fatal(err)
	}
	built := time.Since(start)
	c, err := pkgindex.Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("index of %d packages from %s: %.1f s, %.1f MB\n", c.PackageCount(), c.Sources(), built.Seconds(), float64(info.Size())/1e6)
	var took []time.Duration
	fmt.Println("| half | requests | precision@1 | hit@5 |\n|---|---|---|---|")
	for _, half := range halves {
		first, five := 0, 0
		all := requests(t, half.files...)
		for _, r := range all {
			start := time.Now()
			found, err := c.Search(ctx, r.words, 5)
			if err != nil {
				t.Fatal(err)
			}
			took = append(took, time.Since(start))
			at := slices.IndexFunc(found, func(f events.Candidate) bool { return slices.Contains(r.accepted, string(f.Name)) })
			if at == 0 {
				first++
			} else if *misses && half.name == "development" {
				var names []string
				for _, f := range found {
					names = append(names, fmt.Sprintf("%s %.2f", f.Name, f.Score))
				}
				fmt.Printf("  %q: %s\n", r.words, strings.Join(names, ", "))
			}
			if at >= 0 {
				five++
			}
		}
		n := float64(len(all))
		fmt.Printf("| %s | %d | %.2f | %.2f |\n", half.name, len(all), float64(first)/n, float64(five)/n)
	}
	slices.Sort(took)
	fmt.Printf("query p50 %.1f ms, p95 %.1f ms\n", ms(took[len(took)/2]), ms(took[len(took)*95/100]))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
