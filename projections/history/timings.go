package history

import (
	"context"
	"slices"
	"time"

	"cortex/events"
)

// timingSample is the number of transactions of a verb that its statistics cover.
const timingSample = 200

// Timing has statistics of the run time of the transactions of one verb: of those among the
// newest 200 that ran.
type Timing struct {
	Verb               events.Verb `json:"verb"`
	Runs               int         `json:"runs"`
	Failed             int         `json:"failed"` // failed or interrupted
	MedianMs           int64       `json:"median_ms"`
	P95Ms              int64       `json:"p95_ms"`
	MedianPerPackageMs int64       `json:"median_per_package_ms"` // 0 if no transaction changed a package
}

// Timings returns the statistics of every verb with at least one run.
func (r *Reader) Timings(ctx context.Context) ([]Timing, error) {
	var out []Timing
	for _, verb := range events.Verbs {
		t, err := r.Timing(ctx, verb)
		if err != nil {
			return nil, err
		}
		if t.Runs > 0 {
			out = append(out, t)
		}
	}
	return out, nil
}

// Timing returns the statistics of one verb. Without a run they are zero.
func (r *Reader) Timing(ctx context.Context, verb events.Verb) (Timing, error) {
	out := Timing{Verb: verb}
	list, err := r.List(ctx, Filter{Verb: verb, Limit: timingSample})
	if err != nil {
		return out, err
	}
	var totals, each []int64
	for _, t := range list {
		took := t.EndedAt.Sub(t.StartedAt)
		if t.StartedAt.IsZero() || t.EndedAt.IsZero() || took < 0 {
			continue
		}
		totals = append(totals, took.Milliseconds())
		if t.PackagesChanged > 0 {
			each = append(each, took.Milliseconds()/int64(t.PackagesChanged))
		}
		if t.State != events.StateSucceeded {
			out.Failed++
		}
	}
	out.Runs, out.MedianMs, out.P95Ms, out.MedianPerPackageMs = len(totals), quantile(totals, 50), quantile(totals, 95), quantile(each, 50)
	return out, nil
}

// Estimate estimates the run time of a transaction that changes the given number of
// packages. It returns 0 without statistics.
func (t Timing) Estimate(packages int) time.Duration {
	return time.Duration(max(t.MedianPerPackageMs*int64(packages), min(t.MedianMs, t.MedianPerPackageMs))) * time.Millisecond
}

// quantile returns the value that q percent of the list do not exceed, or 0 for an empty
// list.
func quantile(list []int64, q int) int64 {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[(len(list)-1)*q/100]
}
