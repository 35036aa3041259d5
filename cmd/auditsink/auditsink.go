// Package auditsink copies facts, one a line, to a file or to syslog. After a restart it
// continues after the last copied fact.
//
// It promises for a file: it contains every fact once, complete and in order, even if the
// process was killed or the file was rotated several times. A line is synced before the
// checkpoint is written. At the start, the last line of the file overrides an older
// checkpoint, and an incomplete last line is removed. Run verifies the hash chain: a gap or
// a change ends the copy with events.ErrCorrupt.
//
// Syslog does not acknowledge messages. If the process is killed right after it sent a
// fact, it can send this fact again; the position in the message identifies the duplicate.
package auditsink

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"cortex/events"
)

// maxBatch bounds how many lines are synced together.
const maxBatch = 256

// Checkpoint identifies the last fact in a sink. The zero value is the position before the
// first fact.
type Checkpoint struct {
	Host     events.HostID   `json:"host"`
	Position events.Position `json:"position"`
	Hash     string          `json:"hash"`
}

func checkpointOf(r events.Record) Checkpoint { return Checkpoint{r.Host, r.Position, r.Hash.String()} }

// Sink is a destination of facts. Only one goroutine may use it.
type Sink interface {
	// Checkpoint returns the last fact in the sink.
	Checkpoint() Checkpoint
	// Write stores facts durably and advances the checkpoint.
	Write(records []events.Record) error
	// Close closes the sink.
	Close() error
}

// RecordSource yields the facts after a position in order, until ctx is done or the log
// ends.
type RecordSource func(ctx context.Context, after events.Position) iter.Seq2[events.Record, error]

// Run copies from source into sink until the source ends, and returns its error.
func Run(ctx context.Context, source RecordSource, sink Sink) error {
	ctx, cancel := context.WithCancel(ctx)
	records, failed := make(chan events.Record, maxBatch), make(chan error, 1)
	go func() {
		defer close(records)
		for r, err := range source(ctx, sink.Checkpoint().Position) {
			if err != nil {
				failed <- err
				return
			}
			select {
			case records <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	err := copyBatches(records, sink)
	cancel()
	for range records { // wait for the reader to end
	}
	select {
	case sourceErr := <-failed:
		err = errors.Join(err, sourceErr)
	default:
	}
	return err
}

// copyBatches writes records in batches: each has the records that arrived during the write
// of the one before.
func copyBatches(records <-chan events.Record, sink Sink) error {
	for r := range records {
		list := []events.Record{r}
	more:
		for len(list) < maxBatch {
			select {
			case r, ok := <-records:
				if !ok {
					break more
				}
				list = append(list, r)
			default:
				break more
			}
		}
		if err := verifyChain(sink.Checkpoint(), list); err != nil {
			return err
		}
		if err := sink.Write(list); err != nil {
			return err
		}
	}
	return nil
}

// verifyChain verifies that the records follow the checkpoint and each other.
func verifyChain(c Checkpoint, list []events.Record) error {
	prev := events.Link{Position: c.Position}
	if c.Position > 0 {
		var err error
		if prev.Hash, err = events.ParseHash(c.Hash); err != nil {
			return corruptError(c.Position, err)
		}
	}
	for _, r := range list {
		if c.Host != "" && r.Host != c.Host {
			return corruptError(r.Position, fmt.Errorf("the event is of host %s, the earlier ones are of host %s", r.Host, c.Host))
		}
		if err := r.Verify(prev); err != nil {
			return err
		}
		prev = r.Link()
	}
	return nil
}

func corruptError(p events.Position, err error) error {
	return &events.Error{Op: "auditsink.Run", Kind: events.ErrCorrupt, Subject: fmt.Sprintf("event %d", p), Err: err, Hint: "run 'cortex audit verify'"}
}
