// Package recorder appends facts for the consumers. It fills in the envelope: id,
// time, host, correlation and causation. A consumer passes the fact and its cause.
//
// It promises:
//
//   - An append whose outcome is unknown is repeated with the same event, so that the
//     fact is stored once.
//   - A failed expectation is an events.ErrConflict error, and nothing was stored.
package recorder

import (
	"context"
	"errors"
	"time"

	"cortex/events"
)

// maxAttempts bounds the attempts of one append whose outcome is unknown.
const maxAttempts = 5

// Recorder appends facts to one log. All fields but Version are required. It is safe for
// concurrent use if they are.
type Recorder struct {
	Log   events.Log
	Now   func() time.Time
	NewID func() events.ID
	Actor events.Actor // the actor of facts whose cause names none: the daemon
	// Version is the version of Cortex, which every fact carries; "" leaves it out.
	Version string
}

// Cause is the reason for a fact. The zero Cause starts a new correlation.
type Cause struct {
	Record      events.Record
	Actor       *events.Actor        // nil for the daemon
	Transaction events.TransactionID // if it differs from the record's
}

// CausedBy returns the cause for a fact that reacts to a record.
func CausedBy(r events.Record) Cause { return Cause{Record: r} }

// WithActor returns the cause with an actor.
func (c Cause) WithActor(a events.Actor) Cause {
	c.Actor = &a
	return c
}

// ForTransaction returns the cause with the transaction that the fact belongs to.
func (c Cause) ForTransaction(t events.TransactionID) Cause {
	c.Transaction = t
	return c
}

// Append appends a fact about a subject.
func (s *Recorder) Append(ctx context.Context, c Cause, subject events.Subject, f events.Fact, x events.Expect) (events.Record, error) {
	id := s.NewID()
	e := events.Event{
		ID: id, Host: s.Log.Host(), Subject: subject, Time: s.Now(), Actor: s.Actor,
		Transaction: c.Record.Transaction, Correlation: c.Record.Correlation, Causation: c.Record.ID,
		TraceParent: c.Record.TraceParent, CortexVersion: s.Version,
	}
	if e.Correlation == "" {
		e.Correlation = c.Record.ID
	}
	if e.Correlation == "" {
		e.Correlation = id
	}
	if c.Actor != nil {
		e.Actor = *c.Actor
	}
	if c.Transaction != "" {
		e.Transaction = c.Transaction
	}
	e, err := events.NewFactEvent(e, f)
	if err != nil {
		return events.Record{}, err
	}
	return s.append(ctx, e, x)
}

func (s *Recorder) append(ctx context.Context, e events.Event, x events.Expect) (events.Record, error) {
	var r events.Record
	var err error
	for range maxAttempts {
		r, err = s.Log.Append(ctx, e, x)
		if !errors.Is(err, events.ErrUnavailable) || ctx.Err() != nil {
			break
		}
	}
	return r, err
}

// AppendToTransaction appends a fact about transaction t and applies it to t. It
// expects that no fact about t was appended since t was loaded.
func (s *Recorder) AppendToTransaction(ctx context.Context, c Cause, t *events.Transaction, f events.Fact) (events.Record, error) {
	r, err := s.Append(ctx, c.ForTransaction(t.ID), events.TransactionSubject(t.ID), f, events.Expect{Subject: events.TransactionSubject(t.ID), LastPosition: t.LastPosition})
	if err != nil {
		return r, err
	}
	return r, t.Apply(r)
}
