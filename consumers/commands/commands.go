// Package commands turns requests into facts. No other package reads the stream of
// requests.
//
// It promises:
//
//   - A request that is delivered again is recorded once.
//   - An approval needs the permission to change the machine, and names exactly the
//     plan that was shown.
//   - A request that arrives too late changes nothing.
package commands

import (
	"context"
	"errors"
	"fmt"

	"cortex/consumers/recorder"
	"cortex/events"
)

// Config holds the functions that a RequestHandler calls.
type Config struct {
	// MayChange reports whether the actor may change the machine.
	MayChange func(events.Actor) bool
	// RetryDeadLetter delivers a dead letter to its handler again.
	RetryDeadLetter func(context.Context, *events.DeadLettered) error
	// SnapshotHardware records the hardware snapshot that a request asks for.
	SnapshotHardware func(context.Context, events.Record) error
	// HandleLimits sets, applies or reverts the limits of a request.
	HandleLimits func(context.Context, events.Record, *events.LimitsRequest) error
}

// RequestHandler handles requests and appends facts.
type RequestHandler struct {
	log      events.Log
	recorder *recorder.Recorder
	sequence *recorder.Sequence
	forgets  *recorder.CauseIndex // of facts that answers were forgotten
	cfg      Config
}

// New returns a RequestHandler. All functions of cfg are required.
func New(s *recorder.Recorder, g *recorder.Sequence, cfg Config) *RequestHandler {
	return &RequestHandler{log: s.Log, recorder: s, sequence: g, forgets: recorder.NewCauseIndex(s.Log, events.KindAnswersForgotten), cfg: cfg}
}

// Handle handles one request.
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
	return &events.Error{Op: "commands.Handle", Kind: events.ErrInternal, Subject: string(r.Kind), Err: errors.New("this kind of request is not handled")}
}

func (in *RequestHandler) openTransaction(ctx context.Context, r events.Record, req *events.TransactionRequest) error {
	if string(r.Transaction) != string(r.ID) {
		return &events.Error{Op: "commands.openTransaction", Kind: events.ErrUsage, Subject: string(r.ID), Err: errors.New("the id of a new transaction must be the id of its request")}
	}
	subject := events.TransactionSubject(r.Transaction)
	err := in.sequence.Next(ctx, func(number int) error {
		_, err := in.recorder.Append(ctx, recorder.CausedBy(r).WithActor(r.Actor), subject, &events.Requested{Number: number, Intent: req.Intent}, events.Expect{Subject: subject})
		return err
	})
	if errors.Is(err, events.ErrConflict) {
		return nil // recorded already
	}
	return err
}

func (in *RequestHandler) approve(ctx context.Context, r events.Record, req *events.ApproveRequest) error {
	t, err := events.LoadTransaction(ctx, in.log, r.Transaction)
	if err != nil {
		return err
	}
	if t.State != events.StatePlanned || t.Denial != nil {
		return nil // decided already: the caller reads the decision from the log
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
			return &events.Error{Op: "commands.cancel", Kind: events.ErrConfirmation, Subject: string(t.ID), Err: fmt.Errorf("uid %d did not request this transaction", r.Actor.UID), Hint: "run the command as root"}
		}
		_, err = in.recorder.AppendToTransaction(ctx, recorder.CausedBy(r).WithActor(r.Actor), t, &events.Cancelled{Reason: req.Reason})
		if !errors.Is(err, events.ErrConflict) {
			return err
		}
		// The plan was recorded in between: load the transaction again.
	}
	return ctx.Err()
}

// forgetAnswers records that stored answers must not be used again.
func (in *RequestHandler) forgetAnswers(ctx context.Context, r events.Record, req *events.ForgetAnswersRequest) error {
	if r.Actor.UID != in.recorder.Actor.UID && !in.cfg.MayChange(r.Actor) {
		return &events.Error{Op: "commands.forgetAnswers", Kind: events.ErrConfirmation, Subject: string(r.Kind), Err: fmt.Errorf("uid %d may not change this cache", r.Actor.UID), Hint: "run the command as root"}
	}
	if done, err := in.forgets.Caused(ctx, r.ID); err != nil || done {
		return err
	}
	_, err := in.recorder.Append(ctx, recorder.CausedBy(r).WithActor(r.Actor), events.MachineSubject(in.log.Host()), &req.AnswersForgotten, events.NoExpectation)
	return err
}

// ignoreConflict drops the error of an append that came second: the first one decided.
func ignoreConflict(_ events.Record, err error) error {
	if errors.Is(err, events.ErrConflict) {
		return nil
	}
	return err
}

// retryDeadLetter delivers a dead letter to its handler again. An unknown id is ignored:
// as a dead letter of its own, the request could never be retried with success.
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
		dead, ok := f.(*events.DeadLettered)
		if !ok { // a newer version of the kind
			return events.UnknownEvent{Position: rec.Position, Kind: rec.Kind, CortexVersion: rec.CortexVersion}.Error("event "+string(rec.ID), "a retry")
		}
		if err := in.cfg.RetryDeadLetter(ctx, dead); err != nil {
			return fmt.Errorf("retry of event %s: %w", req.DeadLetter, err)
		}
		subject := rec.Subject
		_, err = in.recorder.Append(ctx, recorder.CausedBy(r).WithActor(r.Actor), subject, &events.DeadLetterRetried{DeadLetter: rec.ID}, events.Expect{Subject: subject, LastPosition: rec.Position})
		return ignoreConflict(events.Record{}, err)
	}
	return nil
}
