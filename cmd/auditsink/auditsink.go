// Package auditsink copies facts, one line each, to a file or to syslog, and knows
// after any end of its process where to go on.
//
// It promises of a file: every fact is in it once, whole and in order, however
// often the process was killed or the file rotated away. A line is synced before
// the position is written; at the start what the file's own last line says wins
// over an older position, and half a line is taken away. Facts are checked against
// the chain: a hole or a change ends the copying with events.ErrCorrupt.
//
// Of syslog, which confirms nothing, it promises the same but for one fact, which
// can be sent again when the process was killed right after sending it; its
// position tells.
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

// Checkpoint is how far a sink got: the last fact that is in it. The zero Mark is before
// the first.
type Checkpoint struct {
	Host     events.HostID   `json:"host"`
	Position events.Position `json:"position"`
	Hash     string          `json:"hash"`
}

func checkpointOf(r events.Record) Checkpoint { return Checkpoint{r.Host, r.Position, r.Hash.String()} }

// Sink is where facts go. It is used by one goroutine.
type Sink interface {
	// Checkpoint is the last fact that is in the sink.
	Checkpoint() Checkpoint
	// Write brings facts in, durably, and remembers that they are.
	Write(records []events.Record) error
	// Close gives the sink up.
	Close() error
}

// RecordSource gives the facts after a position, in order, until ctx is done or there
// are no more.
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
	for range records { // until the reader has ended
	}
	select {
	case sourceErr := <-failed:
		err = errors.Join(err, sourceErr)
	default:
	}
	return err
}

// copyBatches writes what comes, together with what has come meanwhile.
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

// verifyChain makes sure that the records follow the mark and each other.
func verifyChain(m Checkpoint, list []events.Record) error {
	prev := events.Link{Position: m.Position}
	if m.Position > 0 {
		var err error
		if prev.Hash, err = events.ParseHash(m.Hash); err != nil {
			return corruptError(m.Position, err)
		}
	}
	for _, r := range list {
		if m.Host != "" && r.Host != m.Host {
			return corruptError(r.Position, fmt.Errorf("it is of host %s, what was copied before of %s", r.Host, m.Host))
		}
		if err := r.Verify(prev); err != nil {
			return err
		}
		prev = r.Link()
	}
	return nil
}

func corruptError(p events.Position, err error) error {
	return &events.Error{Op: "follower", Kind: events.ErrCorrupt, Subject: fmt.Sprintf("event %d", p), Err: err, Hint: "run 'cortex audit verify'"}
}
