package projector

import (
	"context"
	"errors"

	"cortex/events"
)

// fetcher reads the log in a goroutine of its own, so that records gather while
// the model works.
type fetcher struct {
	records chan events.Record
	failed  error // set before records is closed
	cancel  context.CancelFunc
}

var errLogEnded = &events.Error{Op: "projector", Kind: events.ErrUnavailable, Subject: "log", Err: errors.New("stopped giving records")}

// startFetching follows the log behind a position until stop.
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

// next waits for a record and takes with it what is there already; up to the
// position full it waits for whole batches, because all of that exists. The
// error is why nothing follows the batch.
func (f *fetcher) next(most int, full events.Position) (batch []events.Record, err error) {
	size := 0
	for len(batch) < most && size < maxBatchBytes {
		r, ok, wait := events.Record{}, true, len(batch) == 0 || batch[len(batch)-1].Position < full
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

// stop ends the goroutine and waits for it.
func (f *fetcher) stop() {
	f.cancel()
	for range f.records { // until it is closed
	}
}
