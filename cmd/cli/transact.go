package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cortex/cmd/api"
	"cortex/cmd/client"
	"cortex/cmd/output"
	"cortex/events"
	"cortex/producers/intent"
)

// replans is how often a request is planned again because the machine changed
// between its plan and its turn.
const replans = 3

// answerTimeout bounds what needs no person and no apt.
const answerTimeout = 10 * time.Second

// Approval is how a plan gets its yes.
type Approval struct {
	Yes       bool // given in advance
	DryRun    bool // never
	ExactPlan bool // given to exactly this plan: stale is the end
	ShowDiff  bool // show what happens inside files
}

// transact takes an intent to its end: plan, yes, run, outcome. A plan that went
// stale is made again, unless the yes was to exactly that plan.
func (a *App) transact(ctx context.Context, in events.Intent, how Approval) error {
	c, ping, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	in.CommandLine = intent.CommandLine(append([]string{"cortex"}, a.Args...))
	in.DryRun = how.DryRun
	p := a.Producer(c, ping.Host)
	for try := 1; ; try++ {
		id, err := p.RequestTransaction(ctx, in)
		if err != nil {
			return err
		}
		err = a.run(ctx, follower{client: c, producer: p, ping: ping, consent: how, intent: in}, id)
		if !errors.Is(err, events.ErrStale) || try == replans {
			return err
		}
		if !a.JSON { // the next plan tells
			fmt.Fprintln(a.Stderr, "the machine changed meanwhile; planning again")
		}
	}
}

// follower is what following one transaction needs.
type follower struct {
	client   *client.Client
	producer intent.Producer
	ping     api.Ping
	consent  Approval
	intent   events.Intent
	attached bool // it was asked for elsewhere
}

// decide shows a plan and gets its yes. go is false when the command is over.
func (a *App) decide(ctx context.Context, s follower, t *events.Transaction) (goOn bool, err error) {
	a.PrintLine("plan", "plan", planView{PlanID: t.PlanID, Transaction: t.ID, Number: t.Number, Plan: t.Plan})
	if t.Plan.Empty() {
		a.Infof("nothing to do: the machine is that way already")
		a.PrintLine("result", "result", map[string]any{"state": "nothing-to-do", "id": t.ID, "number": t.Number})
		return false, a.settle(s, t, s.producer.Cancel(ctx, t.ID, "nothing to do"))
	}
	if !a.JSON && !(s.consent.ExactPlan && a.Quiet) {
		output.Plan(a.Stdout, t.Plan)
		if s.consent.ShowDiff && len(t.Plan.Files()) > 0 {
			a.diff(a.Stdout, t.Plan.Files())
		}
	}
	switch {
	case s.consent.DryRun:
		a.Infof("nothing was changed; 'cortex apply %s' runs exactly this plan", t.PlanID)
		a.PrintLine("result", "result", map[string]any{"state": "planned", "plan_id": t.PlanID, "id": t.ID, "number": t.Number})
		return false, a.settle(s, t, nil)
	case t.Denial != nil:
		return true, nil // the denial is on its way
	case !s.ping.MayChange:
		return false, &events.Error{Op: "cli.decide", Kind: events.ErrConfirmation, Err: errors.New("changing packages needs root; nothing was changed"), Hint: "run: sudo " + s.intent.CommandLine}
	case s.consent.Yes:
		return true, s.producer.Approve(ctx, t.ID, t.PlanID, "yes-flag")
	case s.consent.ExactPlan:
		return true, s.producer.Approve(ctx, t.ID, t.PlanID, "apply")
	case !a.Interactive():
		return false, &events.Error{
			Op: "cli.decide", Kind: events.ErrConfirmation, Err: errors.New("nobody is there to ask; nothing was changed"),
			Hint: fmt.Sprintf("pass --yes, or run: cortex apply %s", t.PlanID),
		}
	}
	yes, err := a.ask(ctx, t.Plan)
	if err != nil || !yes {
		reason := "declined at the prompt"
		cancelled := s.producer.Cancel(context.WithoutCancel(ctx), t.ID, reason)
		if err == nil {
			err = &events.Error{Op: "cli.decide", Kind: events.ErrCancelled, Err: errors.New("declined; nothing was changed")}
		}
		return false, errors.Join(err, cancelled)
	}
	return true, s.producer.Approve(ctx, t.ID, t.PlanID, "prompt")
}

// settle waits until the read models show the transaction, so that the next
// command sees it.
func (a *App) settle(s follower, t *events.Transaction, err error) error {
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
	defer cancel()
	return s.client.WaitProjected(ctx, t.LastPosition)
}

// ask asks on the terminal. Yes is the default unless packages go.
func (a *App) ask(ctx context.Context, p events.Plan) (bool, error) {
	removals := 0
	for _, c := range p.Changes {
		if c.Action == events.ActionRemove || c.Action == events.ActionPurge {
			removals++
		}
	}
	prompt := "Go ahead? [Y/n] "
	if removals > 0 || len(p.Residue) > 0 {
		prompt = "Go ahead? [y/N] "
	}
	return a.Confirm(ctx, prompt, strings.Contains(prompt, "[Y/n]"))
}

// Confirm asks on the terminal and waits for an answer; an empty one means other, and
// its end means no.
func (a *App) Confirm(ctx context.Context, question string, other bool) (bool, error) {
	line, more, err := a.Prompt(ctx, question)
	switch strings.ToLower(line) {
	case "y", "yes":
		return err == nil, err
	case "":
		return err == nil && more && other, err
	}
	return false, err
}

// Prompt asks on the terminal and waits for a line; more is false when the terminal
// ended instead. What was typed before the question was there is no answer to it.
func (a *App) Prompt(ctx context.Context, question string) (line string, more bool, err error) {
	if file, ok := a.Stdin.(*os.File); ok {
		_ = unix.IoctlSetInt(int(file.Fd()), unix.TCFLSH, unix.TCIFLUSH) // no terminal, nothing to drop
	}
	fmt.Fprint(a.Stderr, question)
	if a.lines == nil {
		a.lines = bufio.NewReader(a.Stdin)
	}
	lines := make(chan string, 1)
	go func() { // ends with the process when nobody answers
		line, _ := a.lines.ReadString('\n')
		lines <- line
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.Stderr)
		return "", false, ctx.Err()
	case line := <-lines:
		return strings.TrimSpace(line), line != "", nil
	}
}

// Infof tells the person something, on stderr.
func (a *App) Infof(format string, args ...any) {
	if !a.JSON && !a.Quiet {
		fmt.Fprintf(a.Stderr, format+"\n", args...)
	}
}
