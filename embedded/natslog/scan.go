package natslog

import (
	"context"
	"fmt"
	"iter"

	"cortex/embedded/natslog/filestore"
	"cortex/events"
)

// One request reads at most batchRecords records or batchBytes bytes.
const (
	batchRecords = 512
	batchBytes   = 8 << 20
)

// fileScanThreshold is how many records a scan must span before it reads the files
// instead of asking the server. Files are three times as fast, but only whole blocks can
// be read.
const fileScanThreshold = 4 * batchRecords

// scan yields the records after q.After that match, up to and including end, in order.
// It stops after an error. It reads a short range completely and filters it here. That
// is faster, and a missing record is noticed.
func (l *factLog) scan(ctx context.Context, q events.Query, end events.Position) iter.Seq2[events.Record, error] {
	if len(q.Filters) == 0 && l.engine.cluster == nil && end > q.After+fileScanThreshold {
		return l.scanFiles(ctx, q, end)
	}
	filters := q.Filters
	if len(filters) == 0 || end <= q.After+batchRecords {
		filters = []string{""}
	}
	return func(yield func(events.Record, error) bool) {
		sources := make([]*filterReader, len(filters))
		for i, f := range filters {
			sources[i] = &filterReader{log: l, filter: f, next: q.After + 1, end: end}
		}
		prev := q.After
		for {
			r, ok, err := takeOldest(ctx, sources)
			if err != nil {
				yield(events.Record{}, err)
				return
			}
			if !ok {
				return
			}
			if r.Position > prev && q.Match(r) && !yield(r, nil) {
				return
			}
			prev = max(prev, r.Position)
		}
	}
}

// takeOldest removes and returns the oldest record that the sources have next.
func takeOldest(ctx context.Context, sources []*filterReader) (events.Record, bool, error) {
	var best *filterReader
	for _, s := range sources {
		if err := s.fill(ctx); err != nil {
			return events.Record{}, false, err
		}
		if len(s.buf) > 0 && (best == nil || s.buf[0].Position < best.buf[0].Position) {
			best = s
		}
	}
	if best == nil {
		return events.Record{}, false, nil
	}
	r := best.buf[0]
	best.buf = best.buf[1:]
	return r, true, nil
}

// scanFiles is scan without a filter, from the block files. They contain every
// acknowledged event, and the server only appends to them.
func (l *factLog) scanFiles(ctx context.Context, q events.Query, end events.Position) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		last, stopped := q.After, false
		c := chainVerifier{host: l.host, manifestHeadSeen: true}
		c.visit = func(r events.Record) bool {
			if r.Position > q.After && r.Position <= end && ctx.Err() == nil {
				last, stopped = r.Position, !yield(r, nil)
			}
			return !stopped && last < end && ctx.Err() == nil
		}
		blocks, err := factBlocks(l.cfg)
		for i := filestore.IndexOf(blocks, uint64(q.After)+1); i < len(blocks); i++ {
			if err = c.verifyBlock(blocks[i], i == len(blocks)-1); err != nil || stopped || last >= end || ctx.Err() != nil {
				break
			}
		}
		switch {
		case stopped, err == nil && last >= end:
			return
		case ctx.Err() != nil:
			err = &events.Error{Op: "natslog.Read", Kind: events.ErrUnavailable, Err: ctx.Err()}
		default:
			if err == nil {
				err = corruptError(FactsStream, fmt.Errorf("the log ends at event %d, but event %d was stored", last, end))
			}
			l.markReadOnly(err)
		}
		yield(events.Record{}, err)
	}
}
