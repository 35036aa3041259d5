// Package scribe writes facts for the consumers: it fills in the envelope (id,
// time, host, correlation, causation) so that a worker says only what happened
// and what led to it.
//
// It promises that an append with an unknown outcome is repeated with the same
// event, so that a fact is stored once, and that a failed expectation comes back
// as events.ErrConflict without having stored anything.
package scribe

import (
	"context"
	"errors"
	"time"

	"cortex/events"
)

// attempts bounds the repetitions of one append whose outcome is unknown.
const attempts = 5

// Scribe writes facts to one log. All fields are required; it is safe for
// concurrent use when they are.
type Scribe struct {
	Log   events.Log
	Now   func() time.Time
	NewID func() events.ID
	Actor events.Actor // who writes when no cause names an actor: the daemon
}

// Cause is what a fact follows from. The zero Cause starts a new correlation.
type Cause struct {
	Record      events.Record
	Actor       *events.Actor        // who acted, when not the daemon
	Transaction events.TransactionID // when it differs from the record's
}

// After makes a cause of the record that a worker reacts to.
func After(r events.Record) Cause { return Cause{Record: r} }

// By names who acted.
func (c Cause) By(a events.Actor) Cause {
	c.Actor = &a
	return c
}

// For names the transaction that the fact belongs to.
func (c Cause) For(t events.TransactionID) Cause {
	c.Transaction = t
	return c
}

// Append writes f about subject s.
func (s *Scribe) Append(ctx context.Context, c Cause, subject events.Subject, f events.Fact, x events.Expect) (events.Record, error) {
	id := s.NewID()
	e := events.Event{
		ID: id, Host: s.Log.Host(), Subject: subject, Time: s.Now(), Actor: s.Actor,
		Transaction: c.Record.Transaction, Correlation: c.Record.Correlation, Causation: c.Record.ID,
		TraceParent: c.Record.TraceParent,
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
	e, err := events.New(e, f)
	if err != nil {
		return events.Record{}, err
	}
	return s.append(ctx, e, x)
}

func (s *Scribe) append(ctx context.Context, e events.Event, x events.Expect) (events.Record, error) {
	var r events.Record
	var err error
	for range attempts {
		r, err = s.Log.Append(ctx, e, x)
		if !errors.Is(err, events.ErrUnavailable) || ctx.Err() != nil {
			break
		}
	}
	return r, err
}

// Transaction writes f about transaction t, expecting that nothing was written
// about it since t was loaded, and folds it into t.
func (s *Scribe) Transaction(ctx context.Context, c Cause, t *events.Transaction, f events.Fact) (events.Record, error) {
	r, err := s.Append(ctx, c.For(t.ID), events.TransactionSubject(t.ID), f, events.Expect{Subject: events.TransactionSubject(t.ID), Last: t.Last})
	if err != nil {
		return r, err
	}
	return r, t.Apply(r)
}
