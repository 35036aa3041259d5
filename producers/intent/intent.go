// Package intent turns the input of users and programs into requests.
//
// It promises:
//   - It validates every request before it submits it. Package names follow Debian's rules;
//     they are never an option, a path, a pattern, or a name with one of apt's suffixes.
//   - Errors name every invalid package name, not only the first.
//   - A request for a transaction has the id of that transaction, so submitting it twice opens
//     one transaction.
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

// ParsePackages parses packages in the form NAME[:ARCH][=VERSION] and drops duplicates. It
// fails with ErrUsage; the error names every invalid word.
func ParsePackages(words []string) ([]events.PackageRef, error) {
	var refs []events.PackageRef
	var invalid []error
	seen := map[events.PackageRef]bool{}
	for _, w := range words {
		ref, err := events.ParsePackageRef(w)
		switch {
		case err != nil:
			invalid = append(invalid, err)
		case !seen[ref]:
			seen[ref] = true
			refs = append(refs, ref)
		}
	}
	if len(invalid) > 0 {
		return nil, &events.Error{Op: "intent.Packages", Kind: events.ErrUsage, Err: errors.Join(invalid...), Hint: events.HintOf(invalid[0])}
	}
	return refs, nil
}

// CommandLine formats a command for the history. It quotes words with blanks, redacts secrets,
// and cuts the line at [events.MaxTextBytes].
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

// Producer submits requests. All fields are required.
type Producer struct {
	Host      events.HostID
	Submitter Submitter
	Now       func() time.Time
	NewID     func() events.ID
}

// RequestTransaction requests a plan and returns the id of its transaction.
func (p Producer) RequestTransaction(ctx context.Context, in events.Intent) (events.TransactionID, error) {
	id := p.NewID()
	txn := events.TransactionID(id)
	return txn, p.submitForTransaction(ctx, id, txn, &events.TransactionRequest{Intent: in})
}

// Approve approves exactly this plan of a transaction.
func (p Producer) Approve(ctx context.Context, t events.TransactionID, plan events.PlanID, how string) error {
	return p.submitForTransaction(ctx, p.NewID(), t, &events.ApproveRequest{PlanID: plan, How: how})
}

// Cancel cancels a transaction that is not approved yet.
func (p Producer) Cancel(ctx context.Context, t events.TransactionID, reason string) error {
	return p.submitForTransaction(ctx, p.NewID(), t, &events.CancelRequest{Reason: reason})
}

// Retry requests another delivery of a dead-lettered message to its handler.
func (p Producer) Retry(ctx context.Context, deadLetter events.ID) error {
	id := p.NewID()
	e := events.Event{ID: id, Host: p.Host, Subject: events.DeadLetterSubject(deadLetter), Time: p.Now(), Correlation: id, Actor: events.Actor{Program: "cortex"}}
	return p.submit(ctx, e, &events.RetryRequest{DeadLetter: deadLetter})
}

// RequestForget requests that answers of models are forgotten. It returns the id of the
// request, which is the correlation of the resulting fact.
func (p Producer) RequestForget(ctx context.Context, answers events.AnswersForgotten) (events.ID, error) {
	id := p.NewID()
	e := events.Event{ID: id, Host: p.Host, Subject: events.MachineSubject(p.Host), Time: p.Now(), Correlation: id, Actor: events.Actor{Program: "cortex"}}
	return id, p.submit(ctx, e, &events.ForgetAnswersRequest{AnswersForgotten: answers})
}

// RequestHardwareSnapshot requests a hardware snapshot. It returns the id of the request, which
// is the cause of the snapshot.
func (p Producer) RequestHardwareSnapshot(ctx context.Context) (events.ID, error) {
	id := p.NewID()
	e := events.Event{ID: id, Host: p.Host, Subject: events.MachineSubject(p.Host), Time: p.Now(), Correlation: id, Actor: events.Actor{Program: "cortex"}}
	return id, p.submit(ctx, e, &events.HardwareSnapshotRequest{})
}

// RequestLimits requests a change of profiles or limits. It returns the id of the request, which
// is the correlation of the resulting fact.
func (p Producer) RequestLimits(ctx context.Context, r events.LimitsRequest) (events.ID, error) {
	id := p.NewID()
	e := events.Event{ID: id, Host: p.Host, Subject: events.MachineSubject(p.Host), Time: p.Now(), Correlation: id, Actor: events.Actor{Program: "cortex"}}
	return id, p.submit(ctx, e, &r)
}

func (p Producer) submitForTransaction(ctx context.Context, id events.ID, t events.TransactionID, r events.Request) error {
	return p.submit(ctx, events.Event{
		ID: id, Host: p.Host, Subject: events.TransactionSubject(t), Time: p.Now(), Transaction: t,
		Correlation: events.ID(t), Actor: events.Actor{Program: "cortex"}, // the API sets the actual user and process
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
