package projector

import (
	"context"
	"errors"

	"cortex/events"
)

// fetcher reads the log in its own goroutine, so that records accumulate while the read
// model applies a batch.
type fetcher struct {
	records chan events.Record
	failed  error // set before records is closed
	cancel  context.CancelFunc
}

var errLogEnded = &events.Error{Op: "projector", Kind: events.ErrUnavailable, Subject: "log", Err: errors.New("the stream of records ended")}

// startFetching follows the log after a position until stop.
func startFetching(ctx context.Context, log events.Log, after events.Position) *fetcher {
	ctx, cancel := context.WithCancel(ctx)
	f := &fetcher{records: make(chan events.Record, fetchAhead), cancel: cancel}
	go f.run(ctx, log, after)
	return f
}

func (f *fetcher) run(ctx context.Context, log events.Log, after events.Position) {
	defer close(f.records)
	f.failed = errLogEnded
	for r, err := range log.Follow(ctx, events.Query{After: after}) {
		if err != nil {
			f.failed = err
			return
		}
		select {
		case f.records <- r:
		case <-ctx.Done():
			return
		}
	}
}

// next waits for a record and returns it with the records that are available, at most
// maxRecords. Up to the position backlogEnd it waits for full batches, because those records
// exist. If the records end after the batch, err is the reason.
func (f *fetcher) next(maxRecords int, backlogEnd events.Position) (batch []events.Record, err error) {
	size := 0
	for len(batch) < maxRecords && size < maxBatchBytes {
		r, ok, wait := events.Record{}, true, len(batch) == 0 || batch[len(batch)-1].Position < backlogEnd
		if wait {
			r, ok = <-f.records
		} else {
			select {
			case r, ok = <-f.records:
			default:
				return batch, nil
			}
		}
		if !ok {
			return batch, f.failed
		}
		batch, size = append(batch, r), size+len(r.Data)
	}
	return batch, nil
}

// stop stops the goroutine and waits until it has returned.
func (f *fetcher) stop() {
	f.cancel()
	for range f.records { // until run closes it
	}
}
