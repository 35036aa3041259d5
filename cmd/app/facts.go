package app

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"cortex/cmd/api"
	"cortex/cmd/client"
	"cortex/events"
)

// retryTimeout bounds how long a retried event may take.
const retryTimeout = 15 * time.Second

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

// EventFilter selects events. Empty fields select all.
type EventFilter struct {
	Kind        string // a kind; * matches anything
	Since       string // a time as ParseTime reads it
	Transaction string // a reference to a transaction
	After       uint64 // a position
	Limit       int    // 0: no limit
}

// EachEvent calls visit for the selected events, oldest first. With follow it waits for
// more until ctx ends or the limit is reached.
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
	for r, err := range Facts(ctx, c, sel) {
		if err != nil {
			return err
		}
		if r.Time.Before(since) {
			continue
		}
		if err := visit(r); err != nil {
			return err
		}
		if n++; n == f.Limit {
			break
		}
	}
	return nil
}

// EventAt returns the event at a position, or ErrNotFound.
func (s *Service) EventAt(ctx context.Context, p events.Position) (found events.Record, err error) {
	if p == 0 {
		return found, &events.Error{
			Op: "app.EventAt", Kind: events.ErrUsage, Subject: "0", Err: errors.New("not a position"),
			Hint: "positions start at 1; 'cortex events list' shows them",
		}
	}
	err = s.EachEvent(ctx, EventFilter{After: uint64(p) - 1, Limit: 1}, false, func(r events.Record) error {
		found = r
		return nil
	})
	if err == nil && found.Position != p {
		err = noEvent("app.EventAt", p)
	}
	return found, err
}

// noEvent returns the error for a position after the end of the log.
func noEvent(op string, p events.Position) error {
	return &events.Error{
		Op: op, Kind: events.ErrNotFound, Subject: fmt.Sprintf("event %d", p), Err: errors.New("the log has no such event"),
		Hint: "'cortex events list' shows the positions",
	}
}

// ParsePosition reads a position in the log as a person types it.
func ParsePosition(text string) (events.Position, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || n == 0 {
		return 0, &events.Error{
			Op: "app.ParsePosition", Kind: events.ErrUsage, Subject: strconv.Quote(text), Err: errors.New("not a position"),
			Hint: "'cortex events list' shows positions",
		}
	}
	return events.Position(n), nil
}

// LogHead returns the position of the newest event.
func (s *Service) LogHead(ctx context.Context) (events.Position, error) {
	c, _, err := s.Connect(ctx)
	if err != nil {
		return 0, err
	}
	status, err := c.Status(ctx)
	return status.Head, err
}

// RetryEvent delivers a dead letter to its handler again and waits until the handler has
// processed it. It fails with ErrNotFound if no dead letter has this id.
func (s *Service) RetryEvent(ctx context.Context, id events.ID) error {
	if err := id.Validate(); err != nil {
		return err
	}
	c, ping, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	dead, err := isDeadLetter(ctx, c, id)
	switch {
	case err != nil:
		return err
	case !dead:
		return &events.Error{
			Op: "app.RetryEvent", Kind: events.ErrNotFound, Subject: string(id), Err: errors.New("no failed event (dead letter) has this id"),
			Hint: "'cortex status' lists failed events",
		}
	}
	if err := s.Producer(c, ping.Host).Retry(ctx, id); err != nil {
		return err
	}
	for end := time.Now().Add(retryTimeout); time.Now().Before(end); {
		if dead, err := isDeadLetter(ctx, c, id); err != nil || !dead {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return &events.Error{
		Op: "app.RetryEvent", Kind: events.ErrUnavailable, Subject: string(id), Err: errors.New("the handler failed again"),
		Hint: "'cortex status' shows why; 'cortex logs --errors' shows more",
	}
}

func isDeadLetter(ctx context.Context, c *client.Client, id events.ID) (bool, error) {
	s, err := c.Status(ctx)
	return slices.ContainsFunc(s.DeadLetters, func(p api.DeadLetterStatus) bool { return p.ID == id }), err
}
