package natslog_test

import (
	"fmt"
	"testing"

	"cortex/embedded/natslog"
	"cortex/events"
	"cortex/events/logtest"
)

// fill appends n events of about 600 bytes.
func fill(t testing.TB, l events.Log, n int) {
	t.Helper()
	for i := range n {
		logtest.Append(t, l, logtest.NewTransaction(), &events.StepSucceeded{Index: i, Output: fmt.Sprintf("%0*d", 250, i)})
	}
}

func BenchmarkAppend(b *testing.B) {
	l := open(b, natslog.Config{Dir: b.TempDir(), Create: true}).Log()
	s := logtest.NewTransaction()
	for i := 0; b.Loop(); i++ {
		logtest.Append(b, l, s, &events.StepSucceeded{Index: i})
	}
}

func BenchmarkRead(b *testing.B) {
	const n = 10_000
	l := open(b, natslog.Config{Dir: b.TempDir(), Create: true}).Log()
	fill(b, l, n)
	for b.Loop() {
		if got := len(logtest.ReadAll(b, l, events.Query{})); got != n+1 {
			b.Fatal(got)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkReadAggregate(b *testing.B) {
	l := open(b, natslog.Config{Dir: b.TempDir(), Create: true}).Log()
	fill(b, l, 2_000)
	s := logtest.NewTransaction()
	for i := range 8 {
		logtest.Append(b, l, s, &events.StepSucceeded{Index: i})
	}
	fill(b, l, 2_000)
	for b.Loop() {
		if got := len(logtest.ReadAll(b, l, events.Query{Filters: []string{events.FactFilter(l.Host(), s)}})); got != 8 {
			b.Fatal(got)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{0, 1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := b.TempDir()
			first := open(b, natslog.Config{Dir: dir, Create: true})
			fill(b, first.Log(), n)
			closeBroker(b, first)
			for b.Loop() {
				again, err := natslog.Open(b.Context(), natslog.Config{Dir: dir})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				closeBroker(b, again)
				b.StartTimer()
			}
		})
	}
}

func BenchmarkCreate(b *testing.B) {
	for b.Loop() {
		created, err := natslog.Open(b.Context(), natslog.Config{Dir: b.TempDir(), Create: true})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		closeBroker(b, created)
		b.StartTimer()
	}
}
