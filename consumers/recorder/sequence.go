package recorder

import (
	"context"
	"errors"
	"sync"

	"cortex/events"
)

// Sequence numbers transactions: 1, 2, 3, … in the order of the log. All packages that
// open transactions share one.
type Sequence struct {
	log events.Log
	mu  sync.Mutex
}

// NewSequence returns the sequence of a log.
func NewSequence(log events.Log) *Sequence { return &Sequence{log: log} }

// Next calls use with the next number. use appends the fact that takes the number;
// until it returns, no other caller receives one.
func (g *Sequence) Next(ctx context.Context, use func(number int) error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	highest := 0
	for _, filter := range []string{events.RequestedFilter(g.log.Host()), events.KindFilter(g.log.Host(), events.KindObserved)} {
		last, ok, err := g.log.Last(ctx, filter)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		f, err := events.Decode(last.Event)
		if err != nil {
			return err
		}
		switch f := f.(type) {
		case *events.Requested:
			highest = max(highest, f.Number)
		case *events.Observed:
			highest = max(highest, f.Number)
		case *events.UnknownFact:
			if f.Number() == 0 {
				return events.UnknownEvent{Position: last.Position, Kind: last.Kind, CortexVersion: last.CortexVersion}.Error("the next transaction number", "counting transactions")
			}
			highest = max(highest, f.Number())
		default:
			return &events.Error{Op: "recorder.Next", Kind: events.ErrCorrupt, Subject: last.String(), Err: errors.New("this event does not open a transaction")}
		}
	}
	return use(highest + 1)
}
