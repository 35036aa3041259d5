package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cortex/cmd/api"
	"cortex/cmd/client"
	"cortex/consumers/machine/apt"
	"cortex/events"
	"cortex/producers/intent"
	"cortex/projections/history"
)

const (
	// maxReplans is how often a request is planned again because the machine changed
	// between its plan and its turn.
	maxReplans = 3
	// AnswerTimeout bounds a wait that needs neither a person nor apt.
	AnswerTimeout = 10 * time.Second
)

// ApprovalMode is how a plan is approved.
type ApprovalMode struct {
	Yes       bool // approved in advance
	DryRun    bool // never: the plan is only shown
	ExactPlan bool // approved by its id: a stale plan is not planned again
}

// Frontend shows a transaction while it is planned and runs, and asks the person. Its
// methods are called from one goroutine.
type Frontend interface {
	// ShowPlan shows the plan of t before it is approved or left alone.
	ShowPlan(t *events.Transaction)
	// Confirm asks for the approval of p. ok is false if there is no
	// terminal to ask on.
	Confirm(ctx context.Context, p events.Plan) (yes, ok bool, err error)
	// Replanning reports that the plan was stale and another follows.
	Replanning()
	// Event, Progress, Tick and Expect report what happens: a fact, progress of a step, a
	// sign of life of the daemon, and how long the transaction may take.
	Event(r events.Record)
	Progress(p events.Progress)
	Tick(now time.Time)
	Expect(f Estimate)
	// Finish ends the progress display. It may be called several times.
	Finish()
	// KeepWatching asks, after an interrupt, whether to go on watching t, which runs. It
	// returns the context for that, or nil to stop watching.
	KeepWatching(t *events.Transaction) context.Context
}

// Estimate is the expected duration of a transaction, from this machine's own history.
type Estimate struct {
	Started       time.Time
	Expected      time.Duration // 0: not known
	DownloadBytes int64
}

// Result is the result of a request for its user.
type Result int

// The results of a request.
const (
	ResultEnded       Result = iota // the transaction ended; see its state
	ResultNothingToDo               // the plan is empty
	ResultPlanned                   // a dry run: the plan waits for 'apply'
)

// Outcome is the outcome of a request.
type Outcome struct {
	Result      Result
	Transaction *events.Transaction
	// Undone is the transaction that an undo or redo took back, with the verdict; nil
	// for everything else.
	Undone *events.Transaction
}

// Transact takes an intent from the request to its end: plan, approval, run, outcome. A
// stale plan is made again, unless exactly that plan was approved. A transaction that was
// refused, denied, cancelled or interrupted is an error; a failed one is an outcome.
func (s *Service) Transact(ctx context.Context, in events.Intent, how ApprovalMode, ui Frontend) (Outcome, error) {
	c, ping, err := s.Connect(ctx)
	if err != nil {
		return Outcome{}, err
	}
	in.CommandLine = intent.CommandLine(append([]string{"cortex"}, s.Args...))
	in.DryRun = how.DryRun
	p := s.Producer(c, ping.Host)
	for try := 1; ; try++ {
		id, err := p.RequestTransaction(ctx, in)
		if err != nil {
			return Outcome{}, err
		}
		w := &watch{service: s, client: c, producer: p, ping: ping, approval: how, commandLine: in.CommandLine, id: id, ui: ui, t: &events.Transaction{}}
		out, err := w.follow(ctx)
		if !errors.Is(err, events.ErrStale) || how.ExactPlan || try == maxReplans {
			return out, err
		}
		ui.Replanning()
	}
}

// ApplyPlan runs exactly the plan with this id, which an earlier dry run showed.
func (s *Service) ApplyPlan(ctx context.Context, plan events.PlanID, ui Frontend) (Outcome, error) {
	if err := plan.Validate(); err != nil {
		return Outcome{}, err
	}
	var t history.TransactionRow
	err := s.ReadHistory(ctx, func(r *history.Reader) (err error) {
		t, err = r.AwaitingApproval(ctx, plan)
		return err
	})
	if err != nil {
		return Outcome{}, err
	}
	if t.State != events.StatePlanned {
		return Outcome{}, &events.Error{
			Op: "app.ApplyPlan", Kind: events.ErrConflict, Subject: "plan " + string(plan),
			Err: fmt.Errorf("transaction %d with this plan is already %s", t.Number, t.State), Hint: fmt.Sprintf("see 'cortex show %d'", t.Number),
		}
	}
	c, ping, err := s.Connect(ctx)
	if err != nil {
		return Outcome{}, err
	}
	w := &watch{
		service: s, client: c, producer: s.Producer(c, ping.Host), ping: ping, approval: ApprovalMode{ExactPlan: true},
		commandLine: "cortex apply " + string(plan), id: t.ID, ui: ui, t: &events.Transaction{},
	}
	return w.follow(ctx)
}

// Attach follows a transaction that another command started: the one that ref names, or
// the one that runs now. For one that has ended it returns its outcome.
func (s *Service) Attach(ctx context.Context, ref string, ui Frontend) (Outcome, error) {
	c, ping, err := s.Connect(ctx)
	if err != nil {
		return Outcome{}, err
	}
	t, err := s.attachable(ctx, ref)
	if err != nil {
		return Outcome{}, err
	}
	w := &watch{
		service: s, client: c, producer: s.Producer(c, ping.Host), ping: ping,
		commandLine: t.CommandLine, id: t.ID, ui: ui, t: &events.Transaction{}, attached: true, decided: true,
	}
	return w.follow(ctx)
}

// attachable finds the transaction: the one named, or the newest that runs. One that
// awaits approval cannot be followed.
func (s *Service) attachable(ctx context.Context, ref string) (history.TransactionRow, error) {
	if ref != "" {
		d, err := s.ResolveTransaction(ctx, ref)
		if err == nil && d.State == events.StatePlanned {
			err = &events.Error{
				Op: "app.Attach", Kind: events.ErrConfirmation, Subject: fmt.Sprintf("transaction %d", d.Number),
				Err: errors.New("it awaits approval"), Hint: fmt.Sprintf("to approve it: cortex apply %s", d.PlanID),
			}
		}
		return d.TransactionRow, err
	}
	for _, state := range []events.TransactionState{events.StateRunning, events.StateApproved} {
		var list []history.TransactionRow
		err := s.ReadHistory(ctx, func(r *history.Reader) (err error) {
			list, err = r.List(ctx, history.Filter{State: state, Limit: 1})
			return err
		})
		if err != nil || len(list) > 0 {
			return append(list, history.TransactionRow{})[0], err
		}
	}
	return history.TransactionRow{}, &events.Error{
		Op: "app.Attach", Kind: events.ErrNotFound, Err: errors.New("no transaction is running"),
		Hint: "'cortex history' lists transactions; 'cortex attach ID' shows how one of them ended",
	}
}

// Downgraded returns the packages that a transaction took back to an older version and that
// are not on hold: the next upgrade would install the newer version again.
func Downgraded(t *events.Transaction) []events.PackageRef {
	var refs []events.PackageRef
	for _, c := range t.Changes {
		older := c.Before.Installed() && c.After.Installed() && apt.CompareVersions(c.After.Version, c.Before.Version) < 0
		if older && !c.After.Held() {
			refs = append(refs, events.PackageRef{Name: c.Name, Arch: c.Arch})
		}
	}
	return refs
}

// watch follows one transaction.
type watch struct {
	service     *Service
	client      *client.Client
	producer    intent.Producer
	ping        api.Ping
	approval    ApprovalMode
	commandLine string
	id          events.TransactionID
	ui          Frontend

	t        *events.Transaction // as far as it was followed
	attached bool                // another command asked for it
	decided  bool                // the plan was decided upon
}
