package projections

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"cortex/events"
)

// entry is a record on its way into models.
type entry struct {
	events.Record
	fact  events.Fact // nil when it was not decoded
	err   error       // why it cannot be decoded
	sound bool        // known to be what its hash says
}

func entries(records []events.Record) []entry {
	out := make([]entry, len(records))
	for i, r := range records {
		out[i].Record = r
	}
	return out
}

// decode gives the fact, decoded now unless it was before.
func (e entry) decode() (events.Fact, error) {
	if e.fact != nil || e.err != nil {
		return e.fact, e.err
	}
	return events.Decode(e.Event)
}

// follows checks that the record follows at and is what its hash says.
func (e entry) follows(at events.Link) error {
	if e.sound && e.Position == at.Position+1 && e.Prev == at.Hash {
		return nil
	}
	return e.Verify(at)
}

// batches reads the log behind a position up to another, or to its head. An error
// is the last thing it gives.
func batches(ctx context.Context, log events.Log, after, until events.Position, most int) iter.Seq2[[]entry, error] {
	return func(yield func([]entry, error) bool) {
		if after >= until {
			return
		}
		var batch []entry
		size := 0
		for r, err := range log.Read(ctx, events.Query{After: after}) {
			if err != nil {
				yield(nil, fmt.Errorf("read the log: %w", err))
				return
			}
			batch, size = append(batch, entry{Record: r}), size+len(r.Data)
			if len(batch) >= most || size >= maxBatchBytes {
				if !yield(batch, nil) {
					return
				}
				batch, size = make([]entry, 0, most), 0 // that one is given away
			}
			if r.Position >= until {
				break
			}
		}
		if err := ctx.Err(); err != nil {
			yield(nil, err)
		} else if len(batch) > 0 {
			yield(batch, nil)
		}
	}
}

// share is one model's part in batches that several are given. Who has one calls
// leave in the end, or all the others wait.
type share struct {
	batches chan []entry
	failed  error // why there are no more; set before batches is closed
	gone    chan struct{}
	leave   func()
}

func newShare() *share {
	s := &share{batches: make(chan []entry, 1), gone: make(chan struct{})}
	s.leave = sync.OnceFunc(func() { close(s.gone) })
	return s
}

// all gives the batches, which are for reading only. An error is the last thing it
// gives.
func (s *share) all() iter.Seq2[[]entry, error] {
	return func(yield func([]entry, error) bool) {
		for batch := range s.batches {
			if !yield(batch, nil) {
				return
			}
		}
		if s.failed != nil {
			yield(nil, s.failed)
		}
	}
}

// spread gives batches to all shares, decoded and checked once for all of them. It
// returns when there are no more or everybody has left.
func spread(in iter.Seq2[[]entry, error], shares []*share) {
	var failed error
	var at events.Link
	for batch, err := range in {
		if err != nil {
			failed = err
			break
		}
		for i := range batch {
			e := &batch[i]
			e.sound = e.Verify(at) == nil // each model says itself what is wrong
			e.fact, e.err = events.Decode(e.Event)
			at = e.Link()
		}
		left := 0
		for _, s := range shares {
			select {
			case s.batches <- batch:
				left++
			case <-s.gone:
			}
		}
		if left == 0 {
			break
		}
	}
	for _, s := range shares {
		s.failed = failed
		close(s.batches)
	}
}
