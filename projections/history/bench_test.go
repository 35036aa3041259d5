package history_test

import (
	"fmt"
	"sync"
	"testing"

	"cortex/events"
	"cortex/events/memlog"
	"cortex/projections"
	"cortex/projections/history"
	"cortex/projections/projectiontest"
)

// longHistory is generated once for all benchmarks.
var longHistory = sync.OnceValue(func() []events.Record { return sample(100_000) })

// transactions returns a history of n installations of two packages.
func transactions(b *testing.B, n int) []events.Record {
	b.Helper()
	s := newStory()
	for i := range n {
		s.install(fmt.Sprintf("package-%d", i%500), "libfoo1")
	}
	return s.records
}

// BenchmarkApply applies a random history, whose plans have up to seven changes, and a plain
// one of installations with one dependency each.
func BenchmarkApply(b *testing.B) {
	benchmarkApply(b, "random", longHistory())
	benchmarkApply(b, "plain", transactions(b, 10_000))
}

func benchmarkApply(b *testing.B, kind string, records []events.Record) {
	for _, batch := range []int{1, 100, 500} {
		b.Run(fmt.Sprintf("%s/batch=%d", kind, batch), func(b *testing.B) {
			applied := 0
			for b.Loop() {
				b.StopTimer()
				m, err := projections.New(history.Definition(), projectiontest.Open, projections.Config{Dir: b.TempDir()})
				if err != nil {
					b.Fatal(err)
				}
				if err := m.Open(b.Context(), memlog.New(projectiontest.Host)); err != nil {
					b.Fatal(err)
				}
				n := min(len(records), 100*batch)
				b.StartTimer()
				for i := 0; i < n; i += batch {
					if err := m.Apply(b.Context(), records[i:min(i+batch, n)]); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				applied += n
				if err := m.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(applied)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func BenchmarkQuery(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		m, _ := build(b, b.TempDir(), transactions(b, n))
		for name, ask := range map[string]func(*history.Reader) error{
			"list-20": func(r *history.Reader) error { _, err := r.List(b.Context(), history.Filter{Limit: 20}); return err },
			"list-1000": func(r *history.Reader) error {
				_, err := r.List(b.Context(), history.Filter{Limit: 1000})
				return err
			},
			"list-package": func(r *history.Reader) error {
				_, err := r.List(b.Context(), history.Filter{Package: "package-7", Limit: 20})
				return err
			},
			"list-failed": func(r *history.Reader) error {
				_, err := r.List(b.Context(), history.Filter{State: events.StateFailed, Limit: 20})
				return err
			},
			"show-last": func(r *history.Reader) error { _, err := r.Show(b.Context(), "last"); return err },
			"undoable":  func(r *history.Reader) error { _, err := r.LastUndoable(b.Context()); return err },
		} {
			b.Run(fmt.Sprintf("%s/of=%d", name, n), func(b *testing.B) {
				for b.Loop() { // opens the file each time, as a command does
					db, err := projectiontest.OpenReader(m.Path())
					if err != nil {
						b.Fatal(err)
					}
					if err := ask(history.NewReader(db)); err != nil {
						b.Fatal(err)
					}
					if err := db.Close(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
