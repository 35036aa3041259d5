package stress_test

import (
	"fmt"
	"testing"
	"time"

	"cortex/cmd/ids"
	"cortex/cmd/readmodels"
	"cortex/embedded/sqlite"
	"cortex/events"
	"cortex/events/memlog"
	"cortex/projections/answers"
)

// lookupBenchmark measures lookups in a cache with a number of entries.
type lookupBenchmark struct {
	name string // the last part of the benchmark's name
	run  func(b *testing.B, entries int, hit bool)
}

// BenchmarkLookup measures a lookup in the answer cache, for a cached question and for a new
// one. With the build tag peers it also measures an implementation in Python that opens a
// connection for each lookup and compares every entry.
func BenchmarkLookup(b *testing.B) {
	for _, entries := range []int{100, 1_000, 10_000, 100_000} {
		reader := cache(b, entries)
		ours := lookupBenchmark{"cortex", func(b *testing.B, entries int, hit bool) {
			for i := 0; b.Loop(); i++ {
				w := answers.LookupKeys{Scope: "here", ExactKey: "no such", CanonicalKey: "nor such", Now: time.Now()}
				if hit {
					w.ExactKey = exact(i * 7919 % entries)
				}
				if _, _, ok, err := reader.Lookup(b.Context(), w); ok != hit || err != nil {
					b.Fatal(ok, err)
				}
			}
		}}
		for _, by := range append([]lookupBenchmark{ours}, lookups...) {
			for _, what := range []string{"hit", "miss"} {
				b.Run(fmt.Sprintf("entries=%d/%s/by=%s", entries, what, by.name), func(b *testing.B) { by.run(b, entries, what == "hit") })
			}
		}
	}
}

// exact returns the key of an entry, with the length of a real key.
func exact(i int) string { return fmt.Sprintf("%032x", i) }

// cache returns a cache with a number of short answers. The cache would evict long ones.
func cache(b *testing.B, entries int) *answers.Reader {
	b.Helper()
	log := memlog.New(events.HostID(ids.New()))
	for i := range entries {
		e, err := events.NewFactEvent(events.Event{
			ID: ids.New(), Host: log.Host(), Subject: events.LogSubject(log.Host()), Time: time.Now(), Actor: events.Actor{Program: "cortex"},
		}, &events.LLMCompleted{Task: events.TaskInstall, Provider: "local", Model: "m", Question: "q", Answer: "a", Scope: "here", ExactKey: exact(i)})
		if err == nil {
			_, err = log.Append(b.Context(), e, events.NoExpectation)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	p, err := readmodels.ByName(answers.Name)
	if err != nil {
		b.Fatal(err)
	}
	m := model(b, p, log)
	db, err := sqlite.OpenReader(b.Context(), m.Path(), 4)
	if err != nil {
		b.Fatal(err)
	}
	r := answers.NewReader(db)
	b.Cleanup(func() {
		if err := r.Close(); err != nil {
			b.Error(err)
		}
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	if t, err := r.Totals(b.Context()); err != nil || t.Answers != int64(entries) {
		b.Fatal(t, err)
	}
	return r
}
