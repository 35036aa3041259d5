// Package intent turns what a person or a program asks for into requests.
//
// It promises that nothing leaves it unchecked: names follow Debian's rules and
// are never an option, a path, a pattern or one of apt's suffixes; every wrong
// name is reported, not only the first; and a request has the id of the
// transaction it opens, so that sending it twice is asking once.
package intent

import (
	"context"
	"errors"
	"strings"
	"time"

	"cortex/events"
)

// Submitter stores a request durably. Submitting one event twice stores it once.
type Submitter interface {
	Submit(ctx context.Context, e events.Event) (events.Position, error)
}

// ParsePackages reads names as a person types them: NAME[:ARCH][=VERSION]. Every
// wrong one is in the error.
func ParsePackages(words []string) ([]events.PackageRef, error) {
	var refs []events.PackageRef
	var wrong []error
	seen := map[events.PackageRef]bool{}
	for _, w := range words {
		ref, err := events.ParsePackageRef(w)
		switch {
		case err != nil:
			wrong = append(wrong, err)
		case !seen[ref]:
			seen[ref] = true
			refs = append(refs, ref)
		}
	}
	if len(wrong) > 0 {
		return nil, &events.Error{Op: "intent.Packages", Kind: events.ErrUsage, Err: errors.Join(wrong...), Hint: events.HintOf(wrong[0])}
	}
	return refs, nil
}

// CommandLine is how a command is written into history: its words, with those
// that hold blanks quoted, without secrets, cut to the limit.
func CommandLine(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		if a == "" || strings.ContainsAny(a, " \t\n\"'") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words[i] = a
	}
	line := events.Redact(strings.ToValidUTF8(strings.Join(words, " "), "?"))
	if len(line) > events.MaxTextBytes {
		line = strings.ToValidUTF8(line[:events.MaxTextBytes-3], "") + "..."
	}
	return line
}

// Producer files requests. All fields are required.
type Producer struct {
	Host      events.HostID
	Submitter Submitter
	Now       func() time.Time
	NewID     func() events.ID
}

// RequestTransaction asks for a plan and returns the id of the transaction that will hold it.
func (p Producer) RequestTransaction(ctx context.Context, in events.Intent) (events.TransactionID, error) {
	id := p.NewID()
	txn := events.TransactionID(id)
	return txn, p.submitForTransaction(ctx, id, txn, &events.TransactionRequest{Intent: in})
}

// Approve says yes to exactly this plan of a transaction.
func (p Producer) Approve(ctx context.Context, t events.TransactionID, plan events.PlanID, how string) error {
	return p.submitForTransaction(ctx, p.NewID(), t, &events.ApproveRequest{PlanID: plan, How: how})
}

// Cancel says no to a transaction that has not been approved.
func (p Producer) Cancel(ctx context.Context, t events.TransactionID, reason string) error {
	return p.submitForTransaction(ctx, p.NewID(), t, &events.CancelRequest{Reason: reason})
}

// Retry asks to give a parked message to its handler again.
func (p Producer) Retry(ctx context.Context, parked events.ID) error {
	id := p.NewID()
	e := events.Event{ID: id, Host: p.Host, Subject: events.DeadLetterSubject(parked), Time: p.Now(), Correlation: id, Actor: events.Actor{Program: "cortex"}}
	return p.submit(ctx, e, &events.RetryRequest{DeadLetter: parked})
}

// RequestForget asks for answers of models to be forgotten, and returns the id of the
// request, which the fact goes back to.
func (p Producer) RequestForget(ctx context.Context, what events.AnswersForgotten) (events.ID, error) {
	id := p.NewID()
	e := events.Event{ID: id, Host: p.Host, Subject: events.MachineSubject(p.Host), Time: p.Now(), Correlation: id, Actor: events.Actor{Program: "cortex"}}
	return id, p.submit(ctx, e, &events.ForgetAnswersRequest{AnswersForgotten: what})
}

// RequestHardwareSnapshot asks for a hardware snapshot and returns the request's id, which the
// snapshot names as its cause.
func (p Producer) RequestHardwareSnapshot(ctx context.Context) (events.ID, error) {
	id := p.NewID()
	e := events.Event{ID: id, Host: p.Host, Subject: events.MachineSubject(p.Host), Time: p.Now(), Correlation: id, Actor: events.Actor{Program: "cortex"}}
	return id, p.submit(ctx, e, &events.HardwareSnapshotRequest{})
}

// RequestLimits asks for a fact about limits to be put on record, and returns the id of the
// request, which the fact goes back to.
func (p Producer) RequestLimits(ctx context.Context, what events.LimitsRequest) (events.ID, error) {
	id := p.NewID()
	e := events.Event{ID: id, Host: p.Host, Subject: events.MachineSubject(p.Host), Time: p.Now(), Correlation: id, Actor: events.Actor{Program: "cortex"}}
	return id, p.submit(ctx, e, &what)
}

func (p Producer) submitForTransaction(ctx context.Context, id events.ID, t events.TransactionID, r events.Request) error {
	return p.submit(ctx, events.Event{
		ID: id, Host: p.Host, Subject: events.TransactionSubject(t), Time: p.Now(), Transaction: t,
		Correlation: events.ID(t), Actor: events.Actor{Program: "cortex"}, // the door puts the real one
	}, r)
}

func (p Producer) submit(ctx context.Context, e events.Event, r events.Request) error {
	e, err := events.NewRequestEvent(e, r)
	if err != nil {
		return err
	}
	_, err = p.Submitter.Submit(ctx, e)
	return err
}
