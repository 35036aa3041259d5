// Package recorder writes facts for the consumers: it fills in the envelope (id,
// time, host, correlation, causation) so that a worker says only what happened
// and what led to it.
//
// It promises that an append with an unknown outcome is repeated with the same
// event, so that a fact is stored once, and that a failed expectation comes back
// as events.ErrConflict without having stored anything.
package recorder

import (
	"context"
	"errors"
	"time"

	"cortex/events"
)

// maxAttempts bounds the repetitions of one append whose outcome is unknown.
const maxAttempts = 5

// Recorder writes facts to one log. All fields but Version are required; it is safe for
// concurrent use when they are.
type Recorder struct {
	Log   events.Log
	Now   func() time.Time
	NewID func() events.ID
	Actor events.Actor // who writes when no cause names an actor: the daemon
	// Version is the version of Cortex, which every fact carries; "" leaves it out.
	Version string
}

// Cause is what a fact follows from. The zero Cause starts a new correlation.
type Cause struct {
	Record      events.Record
	Actor       *events.Actor        // who acted, when not the daemon
	Transaction events.TransactionID // when it differs from the record's
}

// CausedBy makes a cause of the record that a worker reacts to.
func CausedBy(r events.Record) Cause { return Cause{Record: r} }

// WithActor names who acted.
func (c Cause) WithActor(a events.Actor) Cause {
	c.Actor = &a
	return c
}

// ForTransaction names the transaction that the fact belongs to.
func (c Cause) ForTransaction(t events.TransactionID) Cause {
	c.Transaction = t
	return c
}

// Append writes f about subject s.
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

// AppendToTransaction writes f about transaction t, expecting that nothing was written
// about it since t was loaded, and folds it into t.
func (s *Recorder) AppendToTransaction(ctx context.Context, c Cause, t *events.Transaction, f events.Fact) (events.Record, error) {
	r, err := s.Append(ctx, c.ForTransaction(t.ID), events.TransactionSubject(t.ID), f, events.Expect{Subject: events.TransactionSubject(t.ID), LastPosition: t.LastPosition})
	if err != nil {
		return r, err
	}
	return r, t.Apply(r)
}
