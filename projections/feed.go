package projections

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"cortex/events"
)

// feedRecord is a record that read models are about to apply.
type feedRecord struct {
	events.Record
	fact      events.Fact // nil if it was not decoded
	decodeErr error       // why it cannot be decoded; nil if it was not tried
	verified  bool        // its hash is known to be correct
}

func feedRecords(records []events.Record) []feedRecord {
	out := make([]feedRecord, len(records))
	for i, r := range records {
		out[i].Record = r
	}
	return out
}

// decode returns the fact. It decodes the record unless that was done before.
func (e feedRecord) decode() (events.Fact, error) {
	if e.fact != nil || e.decodeErr != nil {
		return e.fact, e.decodeErr
	}
	return events.Decode(e.Event)
}

// verifyFollows checks that the record follows at and that its hash is correct.
func (e feedRecord) verifyFollows(at events.Link) error {
	if e.verified && e.Position == at.Position+1 && e.Prev == at.Hash {
		return nil
	}
	return e.Verify(at)
}

// isKnownKind reports whether this program can decode facts of the kind.
func isKnownKind(k events.Kind) bool { return slices.Contains(events.FactKinds(), k) }

// readBatches reads the log from the record behind after to until, or to the head. It
// yields batches of at most most records. It ends after an error.
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
				batch, size = make([]feedRecord, 0, most), 0 // the receivers own the previous one
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

// batchReceiver receives the batches of one of several read models. Its owner must call
// unsubscribe at the end, or the other receivers block.
type batchReceiver struct {
	batches      chan []feedRecord
	readErr      error // why the batches ended early; set before batches is closed
	unsubscribed chan struct{}
	unsubscribe  func()
}

func newBatchReceiver() *batchReceiver {
	s := &batchReceiver{batches: make(chan []feedRecord, 1), unsubscribed: make(chan struct{})}
	s.unsubscribe = sync.OnceFunc(func() { close(s.unsubscribed) })
	return s
}

// receive yields the batches, which must not be changed. It ends after an error.
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

// distribute sends every batch to all receivers. It decodes and verifies each record
// once. It returns at the end of the batches or when no receiver is subscribed.
func distribute(in iter.Seq2[[]feedRecord, error], receivers []*batchReceiver) {
	var failed error
	var at events.Link
	for batch, err := range in {
		if err != nil {
			failed = err
			break
		}
		for i := range batch {
			e := &batch[i]
			e.verified = e.Verify(at) == nil // a failure is reported by each read model
			e.fact, e.decodeErr = events.Decode(e.Event)
			at = e.Link()
		}
		subscribed := 0
		for _, s := range receivers {
			select {
			case s.batches <- batch:
				subscribed++
			case <-s.unsubscribed:
			}
		}
		if subscribed == 0 {
			break
		}
	}
	for _, s := range receivers {
		s.readErr = failed
		close(s.batches)
	}
}
