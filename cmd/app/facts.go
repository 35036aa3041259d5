package app

import (
	"context"
	"cortex/cmd/client"
	"cortex/events"
	"iter"
)

// Facts yields the facts of the daemon's stream.
func Facts(ctx context.Context, c *client.Client, s client.StreamOptions) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		for l, err := range c.Events(ctx, s) {
			switch {
			case err != nil:
				yield(events.Record{}, err)
				return
			case l.Event != nil && !yield(*l.Event, nil):
				return
			}
		}
	}
}

// EventFilter are the flags that choose events.
type EventFilter struct {
	Kind        string // a kind, * matches anything
	Since       string // a time as ParseTime reads it
	Transaction string // a reference to a transaction
	After       uint64 // a position
	Limit       int    // 0: no limit
}

// EachEvent visits the selected events.
func (s *Service) EachEvent(ctx context.Context, f EventFilter, follow bool, visit func(events.Record) error) error {
	since, err := ParseTime(f.Since)
	if err != nil {
		return err
	}
	sel := client.StreamOptions{After: events.Position(f.After), Kind: f.Kind, Follow: follow}
	if f.Transaction != "" {
		t, err := s.ResolveTransaction(ctx, f.Transaction)
		if err != nil {
			return err
		}
		sel.Transaction = t.ID
	}
	if !s.HasLog() && !follow {
		return s.NoHistory()
	}
	c, _, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	n := 0
	for l, err := range c.Events(ctx, sel) {
		if err != nil {
			return err
		}
		if l.Event == nil || l.Event.Time.Before(since) {
			continue
		}
		if err := visit(*l.Event); err != nil {
			return err
		}
		if n++; n == f.Limit {
			break
		}
	}
	return nil
}
