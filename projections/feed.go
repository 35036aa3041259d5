package projections

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"cortex/events"
)

// feedRecord is a record on its way into models.
type feedRecord struct {
	events.Record
	fact      events.Fact // nil when it was not decoded
	decodeErr error       // why it cannot be decoded
	verified  bool        // known to be what its hash says
}

func feedRecords(records []events.Record) []feedRecord {
	out := make([]feedRecord, len(records))
	for i, r := range records {
		out[i].Record = r
	}
	return out
}

// decode gives the fact, decoded now unless it was before.
func (e feedRecord) decode() (events.Fact, error) {
	if e.fact != nil || e.decodeErr != nil {
		return e.fact, e.decodeErr
	}
	return events.Decode(e.Event)
}

// verifyFollows checks that the record follows at and is what its hash says.
func (e feedRecord) verifyFollows(at events.Link) error {
	if e.verified && e.Position == at.Position+1 && e.Prev == at.Hash {
		return nil
	}
	return e.Verify(at)
}

// readBatches reads the log behind a position up to another, or to its head. An error
// is the last thing it gives.
func readBatches(ctx context.Context, log events.Log, after, until events.Position, most int) iter.Seq2[[]feedRecord, error] {
	return func(yield func([]feedRecord, error) bool) {
		if after >= until {
			return
		}
		var batch []feedRecord
		size := 0
		for r, err := range log.Read(ctx, events.Query{After: after}) {
			if err != nil {
				yield(nil, fmt.Errorf("read the log: %w", err))
				return
			}
			batch, size = append(batch, feedRecord{Record: r}), size+len(r.Data)
			if len(batch) >= most || size >= maxBatchBytes {
				if !yield(batch, nil) {
					return
				}
				batch, size = make([]feedRecord, 0, most), 0 // that one is given away
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

// batchReceiver is one model's part in batches that several are given. Who has one calls
// leave in the end, or all the others wait.
type batchReceiver struct {
	batches      chan []feedRecord
	readErr      error // why there are no more; set before batches is closed
	unsubscribed chan struct{}
	unsubscribe  func()
}

func newBatchReceiver() *batchReceiver {
	s := &batchReceiver{batches: make(chan []feedRecord, 1), unsubscribed: make(chan struct{})}
	s.unsubscribe = sync.OnceFunc(func() { close(s.unsubscribed) })
	return s
}

// receive gives the batches, which are for reading only. An error is the last thing it
// gives.
func (s *batchReceiver) receive() iter.Seq2[[]feedRecord, error] {
	return func(yield func([]feedRecord, error) bool) {
		for batch := range s.batches {
			if !yield(batch, nil) {
				return
			}
		}
		if s.readErr != nil {
			yield(nil, s.readErr)
		}
	}
}

// distribute gives batches to all shares, decoded and checked once for all of them. It
// returns when there are no more or everybody has left.
func distribute(in iter.Seq2[[]feedRecord, error], shares []*batchReceiver) {
	var failed error
	var at events.Link
	for batch, err := range in {
		if err != nil {
			failed = err
			break
		}
		for i := range batch {
			e := &batch[i]
			e.verified = e.Verify(at) == nil // each model says itself what is wrong
			e.fact, e.decodeErr = events.Decode(e.Event)
			at = e.Link()
		}
		left := 0
		for _, s := range shares {
			select {
			case s.batches <- batch:
				left++
			case <-s.unsubscribed:
			}
		}
		if left == 0 {
			break
		}
	}
	for _, s := range shares {
		s.readErr = failed
		close(s.batches)
	}
}
