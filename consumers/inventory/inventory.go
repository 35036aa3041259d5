// Package inventory folds the log into the package inventory that history says the
// machine has. Compared with what dpkg says, it shows drift; at an earlier
// position, it shows what was.
//
// It promises to be derived from the log alone, and that its answer for a
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

// New returns a ledger that has read nothing yet.
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

// catchUp reads what was appended since. The caller holds mu.
func (l *Tracker) catchUp(ctx context.Context) error {
	for r, err := range l.log.Read(ctx, l.query(l.position)) {
		if err != nil {
			return fmt.Errorf("read inventory: %w", err)
		}
		f, err := events.Decode(r.Event)
		if err != nil {
			return err
		}
		_, isAdoption := f.(*events.BaselineRecorded)
		l.hasBaseline = l.hasBaseline || isAdoption
		l.current.Apply(f)
		l.position = r.Position
	}
	return nil
}

// Current is the inventory at the head of the log; adopted is false when no machine
// was ever recorded.
func (l *Tracker) Current(ctx context.Context) (inv events.Inventory, adopted bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.catchUp(ctx); err != nil {
		return nil, false, err
	}
	return maps.Clone(l.current), l.hasBaseline, nil
}

// At is the inventory right after position p: the present one with every later
// change taken back, newest first.
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
			return nil, &events.Error{Op: "inventory.At", Kind: events.ErrConflict, Err: fmt.Errorf("the machine was recorded anew at %d", r.Position)}
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
