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

// consent is how a plan gets its yes.
type consent struct {
	yes    bool // given in advance
	dryRun bool // never
	apply  bool // given to exactly this plan: stale is the end
	diff   bool // show what happens inside files
}

// transact takes an intent to its end: plan, yes, run, outcome. A plan that went
// stale is made again, unless the yes was to exactly that plan.
func (a *App) transact(ctx context.Context, in events.Intent, how consent) error {
	c, ping, err := a.connect(ctx)
	if err != nil {
		return err
	}
	in.CommandLine = intent.CommandLine(append([]string{"cortex"}, a.Args...))
	in.DryRun = how.dryRun
	p := a.producer(c, ping.Host)
	for try := 1; ; try++ {
		id, err := p.RequestTransaction(ctx, in)
		if err != nil {
			return err
		}
		err = a.run(ctx, session{client: c, producer: p, ping: ping, consent: how, intent: in}, id)
		if !errors.Is(err, events.ErrStale) || try == replans {
			return err
		}
		if !a.json { // the next plan tells
			fmt.Fprintln(a.Stderr, "the machine changed meanwhile; planning again")
		}
	}
}

// session is what following one transaction needs.
type session struct {
	client   *client.Client
	producer intent.Producer
	ping     api.Ping
	consent  consent
	intent   events.Intent
	attached bool // it was asked for elsewhere
}

// decide shows a plan and gets its yes. go is false when the command is over.
func (a *App) decide(ctx context.Context, s session, t *events.Transaction) (goOn bool, err error) {
	a.line("plan", "plan", planView{PlanID: t.PlanID, Transaction: t.ID, Number: t.Number, Plan: t.Plan})
	if t.Plan.Empty() {
		a.say("nothing to do: the machine is that way already")
		a.line("result", "result", map[string]any{"state": "nothing-to-do", "id": t.ID, "number": t.Number})
		return false, a.settle(s, t, s.producer.Cancel(ctx, t.ID, "nothing to do"))
	}
	if !a.json && !(s.consent.apply && a.quiet) {
		output.Plan(a.Stdout, t.Plan)
		if s.consent.diff && len(t.Plan.Files()) > 0 {
			a.diff(a.Stdout, t.Plan.Files())
		}
	}
	switch {
	case s.consent.dryRun:
		a.say("nothing was changed; 'cortex apply %s' runs exactly this plan", t.PlanID)
		a.line("result", "result", map[string]any{"state": "planned", "plan_id": t.PlanID, "id": t.ID, "number": t.Number})
		return false, a.settle(s, t, nil)
	case t.Denial != nil:
		return true, nil // the denial is on its way
	case !s.ping.MayChange:
		return false, &events.Error{Op: "cli.decide", Kind: events.ErrConfirmation, Err: errors.New("changing packages needs root; nothing was changed"), Hint: "run: sudo " + s.intent.CommandLine}
	case s.consent.yes:
		return true, s.producer.Approve(ctx, t.ID, t.PlanID, "yes-flag")
	case s.consent.apply:
		return true, s.producer.Approve(ctx, t.ID, t.PlanID, "apply")
	case !a.interactive():
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
func (a *App) settle(s session, t *events.Transaction, err error) error {
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
	return a.answerYes(ctx, prompt, strings.Contains(prompt, "[Y/n]"))
}

// answerYes asks on the terminal and waits for an answer; an empty one means other, and
// its end means no.
func (a *App) answerYes(ctx context.Context, question string, other bool) (bool, error) {
	line, more, err := a.typed(ctx, question)
	switch strings.ToLower(line) {
	case "y", "yes":
		return err == nil, err
	case "":
		return err == nil && more && other, err
	}
	return false, err
}

// typed asks on the terminal and waits for a line; more is false when the terminal
// ended instead. What was typed before the question was there is no answer to it.
func (a *App) typed(ctx context.Context, question string) (line string, more bool, err error) {
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

// say tells the person something, on stderr.
func (a *App) say(format string, args ...any) {
	if !a.json && !a.quiet {
		fmt.Fprintf(a.Stderr, format+"\n", args...)
	}
}
