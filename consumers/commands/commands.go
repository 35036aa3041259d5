// Package commands turns requests into facts, or ignores them: it is the only door
// from what people ask to what is on record.
//
// It promises that a request seen twice is recorded once, that approving needs
// the right to change the machine and names exactly the plan that was shown, and
// that a request which comes too late changes nothing.
package commands

import (
	"context"
	"errors"
	"fmt"

	"cortex/consumers/recorder"
	"cortex/events"
)

// Config says who may do what.
type Config struct {
	// MayChange reports whether the actor may change the machine.
	MayChange func(events.Actor) bool
	// RetryDeadLetter gives a parked message to its handler again.
	RetryDeadLetter func(context.Context, *events.DeadLettered) error
	// SnapshotHardware records the hardware snapshot that a request asks for.
	SnapshotHardware func(context.Context, events.Record) error
	// HandleLimits sets, applies or reverts the limits of a request.
	HandleLimits func(context.Context, events.Record, *events.LimitsRequest) error
}

// RequestHandler is a worker: requests in, facts out.
type RequestHandler struct {
	log      events.Log
	recorder *recorder.Recorder
	sequence *recorder.Sequence
	cfg      Config
}

// New returns an intake; the functions of cfg are required.
func New(s *recorder.Recorder, g *recorder.Sequence, cfg Config) *RequestHandler {
	return &RequestHandler{log: s.Log, recorder: s, sequence: g, cfg: cfg}
}

// Handle reacts to one request.
func (in *RequestHandler) Handle(ctx context.Context, r events.Record) error {
	req, err := events.DecodeRequest(r.Event)
	if err != nil {
		return err
	}
	if req.MayChangeMachine() && !in.cfg.MayChange(r.Actor) {
		return &events.Error{
			Op: "commands.Handle", Kind: events.ErrConfirmation, Subject: string(r.Kind),
			Err: fmt.Errorf("uid %d may not change this machine", r.Actor.UID), Hint: "run the command as root",
		}
	}
	switch req := req.(type) {
	case *events.TransactionRequest:
		return in.openTransaction(ctx, r, req)
	case *events.ApproveRequest:
		return in.approve(ctx, r, req)
	case *events.CancelRequest:
		return in.cancel(ctx, r, req)
	case *events.RetryRequest:
		return in.retryDeadLetter(ctx, r, req)
	case *events.ForgetAnswersRequest:
		return in.forgetAnswers(ctx, r, req)
	case *events.HardwareSnapshotRequest:
		return in.cfg.SnapshotHardware(ctx, r)
	case *events.LimitsRequest:
		return in.cfg.HandleLimits(ctx, r, req)
	}
	return &events.Error{Op: "commands.Handle", Kind: events.ErrInternal, Subject: string(r.Kind), Err: errors.New("no rule for this request")}
}

func (in *RequestHandler) openTransaction(ctx context.Context, r events.Record, req *events.TransactionRequest) error {
	if string(r.Transaction) != string(r.ID) {
		return &events.Error{Op: "commands.open", Kind: events.ErrUsage, Subject: string(r.ID), Err: errors.New("a new transaction has the id of its request")}
	}
	subject := events.TransactionSubject(r.Transaction)
	err := in.sequence.Next(ctx, func(number int) error {
		_, err := in.recorder.Append(ctx, recorder.CausedBy(r).WithActor(r.Actor), subject, &events.Requested{Number: number, Intent: req.Intent}, events.Expect{Subject: subject})
		return err
	})
	if errors.Is(err, events.ErrConflict) {
		return nil // already on record
	}
	return err
}

func (in *RequestHandler) approve(ctx context.Context, r events.Record, req *events.ApproveRequest) error {
	t, err := events.LoadTransaction(ctx, in.log, r.Transaction)
	if err != nil {
		return err
	}
	if t.State != events.StatePlanned || t.Denial != nil {
		return nil // decided already; who asked reads how
	}
	if t.PlanID != req.PlanID {
		return &events.Error{Op: "commands.approve", Kind: events.ErrStale, Subject: string(req.PlanID), Err: fmt.Errorf("transaction %s has plan %s", t.ID, t.PlanID)}
	}
	return ignoreConflict(in.recorder.AppendToTransaction(ctx, recorder.CausedBy(r).WithActor(r.Actor), t, &events.Approved{PlanID: req.PlanID, How: req.How}))
}

func (in *RequestHandler) cancel(ctx context.Context, r events.Record, req *events.CancelRequest) error {
	for ctx.Err() == nil {
		t, err := events.LoadTransaction(ctx, in.log, r.Transaction)
		if err != nil {
			return err
		}
		if t.State != events.StateRequested && t.State != events.StatePlanned {
			return nil
		}
		if r.Actor.UID != t.Actor.UID && !in.cfg.MayChange(r.Actor) {
			return &events.Error{Op: "commands.cancel", Kind: events.ErrConfirmation, Subject: string(t.ID), Err: fmt.Errorf("uid %d did not ask for it", r.Actor.UID)}
		}
		_, err = in.recorder.AppendToTransaction(ctx, recorder.CausedBy(r).WithActor(r.Actor), t, &events.Cancelled{Reason: req.Reason})
		if !errors.Is(err, events.ErrConflict) {
			return err
		}
		// The plan arrived in between: look again.
	}
	return ctx.Err()
}

// forgetAnswers records that answers are not to be used again. A redelivery records it
// again, which changes nothing.
func (in *RequestHandler) forgetAnswers(ctx context.Context, r events.Record, req *events.ForgetAnswersRequest) error {
	if r.Actor.UID != in.recorder.Actor.UID && !in.cfg.MayChange(r.Actor) {
		return &events.Error{Op: "commands.forget", Kind: events.ErrConfirmation, Subject: string(r.Kind), Err: fmt.Errorf("uid %d may not change this cache", r.Actor.UID), Hint: "run the command as root"}
	}
	_, err := in.recorder.Append(ctx, recorder.CausedBy(r).WithActor(r.Actor), events.MachineSubject(in.log.Host()), &req.AnswersForgotten, events.NoExpectation)
	return err
}

// ignoreConflict: whoever wrote first decided; a redelivery finds it decided.
func ignoreConflict(_ events.Record, err error) error {
	if errors.Is(err, events.ErrConflict) {
		return nil
	}
	return err
}

// retryDeadLetter gives a parked message to its handler again. A wish that names none is dropped:
// parked itself it would be a trouble that nobody can mend.
func (in *RequestHandler) retryDeadLetter(ctx context.Context, r events.Record, req *events.RetryRequest) error {
	for rec, err := range in.log.Read(ctx, events.Query{Filters: []string{events.KindFilter(in.log.Host(), events.KindDeadLettered)}}) {
		if err != nil {
			return err
		}
		if rec.ID != req.DeadLetter {
			continue
		}
		f, err := events.Decode(rec.Event)
		if err != nil {
			return err
		}
		if err := in.cfg.RetryDeadLetter(ctx, f.(*events.DeadLettered)); err != nil {
			return fmt.Errorf("retry of event %s: %w", req.DeadLetter, err)
		}
		subject := rec.Subject
		_, err = in.recorder.Append(ctx, recorder.CausedBy(r).WithActor(r.Actor), subject, &events.DeadLetterRetried{DeadLetter: rec.ID}, events.Expect{Subject: subject, LastPosition: rec.Position})
		return ignoreConflict(events.Record{}, err)
	}
	return nil
}
