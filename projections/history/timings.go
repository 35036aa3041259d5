package history

import (
	"context"
	"slices"
	"strings"
	"time"

	"cortex/events"
)

// timed is how many of the newest transactions of a kind figures are made from.
const timed = 200

// Timing is how long transactions of one verb took, from their start to their end,
// the newest 200 of them.
type Timing struct {
	Verb       events.Verb `json:"verb"`
	Runs       int         `json:"runs"`
	Failed     int         `json:"failed"` // or interrupted
	MedianMs   int64       `json:"median_ms"`
	P95Ms      int64       `json:"p95_ms"`
	PerPackage int64       `json:"median_per_package_ms"` // 0 when none changed a package
}

// Timings gives the figures of every verb that ran, by name.
func (r *Reader) Timings(ctx context.Context) ([]Timing, error) {
	type run struct{ total, each int64 }
	runs, failed := map[events.Verb][]run{}, map[events.Verb]int{}
	all, err := r.List(ctx, Filter{})
	if err != nil {
		return nil, err
	}
	for _, t := range slices.Backward(all) {
		took := t.EndedAt.Sub(t.StartedAt)
		if t.StartedAt.IsZero() || t.EndedAt.IsZero() || took < 0 || len(runs[t.Verb]) >= timed {
			continue
		}
		x := run{total: took.Milliseconds()}
		if t.Changed > 0 {
			x.each = x.total / int64(t.Changed)
		}
		runs[t.Verb] = append(runs[t.Verb], x)
		if t.State != events.StateSucceeded {
			failed[t.Verb]++
		}
	}
	var out []Timing
	for verb, list := range runs {
		var totals, each []int64
		for _, x := range list {
			totals = append(totals, x.total)
			if x.each > 0 {
				each = append(each, x.each)
			}
		}
		out = append(out, Timing{
			Verb: verb, Runs: len(list), Failed: failed[verb],
			MedianMs: quantile(totals, 50), P95Ms: quantile(totals, 95), PerPackage: quantile(each, 50),
		})
	}
	slices.SortFunc(out, func(a, b Timing) int { return strings.Compare(string(a.Verb), string(b.Verb)) })
	return out, nil
}

// Expect estimates how long a transaction takes that changes so many packages, from
// what those of its verb took; 0 when nothing is known.
func (t Timing) Expect(packages int) time.Duration {
	return time.Duration(max(t.PerPackage*int64(packages), min(t.MedianMs, t.PerPackage))) * time.Millisecond
}

// quantile gives the value that q percent of the list do not exceed; 0 of none.
func quantile(list []int64, q int) int64 {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[(len(list)-1)*q/100]
}
