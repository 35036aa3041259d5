// Package inventory derives the inventory of packages from the log. The difference
// from dpkg's own inventory is drift. For an earlier position it returns the inventory
// of that time.
//
// It promises that its answer depends on the log alone, and that the answer for a
// position never changes.
package inventory

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"cortex/events"
)

// Tracker follows one log. It is safe for concurrent use.
type Tracker struct {
	log events.Log

	mu          sync.Mutex
	current     events.Inventory
	position    events.Position
	hasBaseline bool
}

// New returns a tracker; nothing is read yet.
func New(log events.Log) *Tracker {
	return &Tracker{log: log, current: events.Inventory{}}
}

func (l *Tracker) query(after events.Position) events.Query {
	q := events.Query{After: after}
	for _, k := range events.InventoryKinds {
		q.Filters = append(q.Filters, events.KindFilter(l.log.Host(), k))
	}
	return q
}

// catchUp reads the facts that are new. The caller holds mu.
func (l *Tracker) catchUp(ctx context.Context) error {
	for r, err := range l.log.Read(ctx, l.query(l.position)) {
		if err != nil {
			return fmt.Errorf("read inventory: %w", err)
		}
		f, err := events.Decode(r.Event)
		if err != nil {
			return err
		}
		_, isBaseline := f.(*events.BaselineRecorded)
		l.hasBaseline = l.hasBaseline || isBaseline
		l.current.Apply(f)
		l.position = r.Position
	}
	return nil
}

// Current returns the inventory at the head of the log. hasBaseline is false if the log
// has no baseline yet.
func (l *Tracker) Current(ctx context.Context) (inv events.Inventory, hasBaseline bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.catchUp(ctx); err != nil {
		return nil, false, err
	}
	return maps.Clone(l.current), l.hasBaseline, nil
}

// At returns the inventory right after position p: the present one without every later
// change, from the newest to the oldest.
func (l *Tracker) At(ctx context.Context, p events.Position) (events.Inventory, error) {
	inv, _, err := l.Current(ctx)
	if err != nil {
		return nil, err
	}
	var later [][]events.PackageChange
	for r, err := range l.log.Read(ctx, l.query(p)) {
		if err != nil {
			return nil, fmt.Errorf("read inventory: %w", err)
		}
		f, err := events.Decode(r.Event)
		if err != nil {
			return nil, err
		}
		if _, ok := f.(*events.BaselineRecorded); ok {
			return nil, &events.Error{Op: "inventory.At", Kind: events.ErrConflict, Err: fmt.Errorf("a new baseline was recorded at event %d", r.Position)}
		}
		later = append(later, events.ChangesOf(f))
	}
	for i := len(later) - 1; i >= 0; i-- {
		for _, c := range later[i] {
			if c.Before.Known() {
				inv[c.PackageKey] = c.Before
			} else {
				delete(inv, c.PackageKey)
			}
		}
	}
	return inv, nil
}
