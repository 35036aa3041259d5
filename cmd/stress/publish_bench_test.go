package stress_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"cortex/projections/history"
)

// contender is a system that stores records durably.
type contender struct {
	name string // until=STATE/by=SYSTEM
	run  func(b *testing.B, publishers int)
}

// BenchmarkPublish measures the time from the append of a fact until it is durable, and until
// the read model shows it, for one and for many publishers. With the build tag peers
// ('make peers') it also measures other systems.
func BenchmarkPublish(b *testing.B) {
	all := append([]contender{{"until=durable/by=cortex", appended}, {"until=visible/by=cortex", projected}}, peers...)
	for _, publishers := range []int{1, 20, 100} {
		for _, c := range all {
			b.Run(fmt.Sprintf("publishers=%d/%s", publishers, c.name), func(b *testing.B) { c.run(b, publishers) })
		}
	}
}

func appended(b *testing.B, publishers int) {
	r := newRig(b, history.Name)
	flood(b, publishers, func(ctx context.Context) error {
		_, err := r.request(ctx)
		return err
	})
}

func projected(b *testing.B, publishers int) {
	r := newRig(b, history.Name)
	flood(b, publishers, func(ctx context.Context) error {
		p, err := r.request(ctx)
		if err == nil {
			err = r.project.WaitFor(ctx, p)
		}
		return err
	})
}

// flood distributes b.N records over the publishers and reports their durations.
func flood(b *testing.B, publishers int, put func(context.Context) error) {
	b.Helper()
	var took spans
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	err := runConcurrently(publishers, func(int) error {
		for left.Add(-1) >= 0 {
			at := time.Now()
			if err := put(b.Context()); err != nil {
				return err
			}
			took.since(at)
		}
		return nil
	})
	b.StopTimer()
	if err != nil {
		b.Fatal(err)
	}
	report(b, took.list, b.Elapsed())
}

// report reports the percentiles of the durations and the records per second.
func report(b *testing.B, took []time.Duration, all time.Duration) {
	b.Helper()
	slices.Sort(took)
	ms := func(q int) float64 { return float64(took[(len(took)-1)*q/100].Microseconds()) / 1000 }
	b.ReportMetric(ms(50), "p50-ms")
	b.ReportMetric(ms(99), "p99-ms")
	b.ReportMetric(float64(len(took))/all.Seconds(), "events/s")
}
