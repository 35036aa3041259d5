package recorder

import (
	"context"
	"sync"

	"cortex/events"
)

// CauseIndex knows which events have caused a fact of some kinds already, so that a
// request that is delivered again records nothing. It is derived from the log: the
// first question reads every fact of these kinds, later ones read what is new. It is
// safe for concurrent use.
type CauseIndex struct {
	log     events.Log
	filters []string

	mu       sync.Mutex
	position events.Position
	causes   map[events.ID]bool
}

// NewCauseIndex returns an index over the facts of some kinds; nothing is read yet.
func NewCauseIndex(log events.Log, kinds ...events.Kind) *CauseIndex {
	x := &CauseIndex{log: log, causes: map[events.ID]bool{}}
	for _, k := range kinds {
		x.filters = append(x.filters, events.KindFilter(log.Host(), k))
	}
	return x
}

// Caused reports whether the event has caused a fact.
func (x *CauseIndex) Caused(ctx context.Context, id events.ID) (bool, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for r, err := range x.log.Read(ctx, events.Query{After: x.position, Filters: x.filters}) {
		if err != nil {
			return false, err
		}
		x.position = r.Position
		if r.Causation != "" {
			x.causes[r.Causation] = true
		}
	}
	return x.causes[id], nil
}
