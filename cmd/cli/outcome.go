package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cortex/cmd/client"
	"cortex/cmd/output"
	"cortex/consumers/machine/apt"
	"cortex/events"
)

// planView is a plan as JSON.
type planView struct {
	PlanID      events.PlanID        `json:"plan_id"`
	Transaction events.TransactionID `json:"id"`
	Number      int                  `json:"number"`
	events.Plan
}

// resultView is how a transaction ended, as JSON.
type resultView struct {
	State       events.TransactionState `json:"state"`
	Transaction events.TransactionID    `json:"id"`
	Number      int                     `json:"number"`
	Changes     []events.PackageChange  `json:"changes"`
	Files       []events.FileChange     `json:"files,omitempty"`
	Settings    []events.SettingChange  `json:"settings,omitempty"`
	Failure     *events.Failure         `json:"failure,omitempty"`
	Exact       *bool                   `json:"exact,omitempty"` // of an undo or redo
	Residue     []string                `json:"residue,omitempty"`
}

// outcome tells how a transaction ended and gives the command's error.
func (a *App) outcome(ctx context.Context, s follower, t *events.Transaction) error {
	view := resultView{State: t.State, Transaction: t.ID, Number: t.Number, Changes: t.Changes, Files: t.Files, Settings: t.Settings, Failure: t.Failure}
	last := t.LastPosition
	if t.Intent.Verb.Reverts() && len(t.Plan.Undoes) > 0 && t.State == events.StateSucceeded {
		undone, err := a.verdict(ctx, s, t)
		if err != nil {
			return err
		}
		view.Exact, view.Residue, last = &undone.Exact, undone.Residue, undone.LastPosition
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	if err := s.client.WaitProjected(wait, last); err != nil {
		a.Infof("note: the read models are behind: %v", err)
	}
	switch t.State {
	case events.StateSucceeded:
		err := a.succeeded(t, view)
		if t.Intent.Verb.Reverts() && !t.Intent.Options.Hold {
			err = errors.Join(err, a.offerHold(ctx, t))
		}
		return err
	case events.StateFailed, events.StateInterrupted:
		return a.failed(t, view)
	case events.StateRefused, events.StateDenied:
		return t.Failure.AsError()
	case events.StateCancelled:
		return &events.Error{Op: "cli", Kind: events.ErrCancelled, Err: errors.New("cancelled; nothing was changed")}
	case events.StateNone, events.StateRequested, events.StatePlanned, events.StateApproved, events.StateRunning:
	}
	return fmt.Errorf("transaction %d ended as %s", t.Number, t.State)
}

// verdict waits for the judgement on what an undo took back.
func (a *App) verdict(ctx context.Context, s follower, t *events.Transaction) (*events.Transaction, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	undone := &events.Transaction{}
	for l, err := range s.client.Events(ctx, client.StreamOptions{Transaction: t.Plan.Undoes[0], Follow: true}) {
		if err != nil {
			return nil, err
		}
		if l.Event == nil || l.Event.Kind == events.KindDeadLettered {
			continue
		}
		if err := undone.Apply(*l.Event); err != nil {
			return nil, err
		}
		if undone.CompensatedBy == t.ID {
			return undone, nil
		}
	}
	return nil, &events.Error{
		Op: "cli.verdict", Kind: events.ErrPartial, Subject: fmt.Sprintf("transaction %d", t.Number),
		Err: errors.New("it ran, but whether everything is as before was not recorded"), Hint: "see 'cortex status'",
	}
}

func (a *App) succeeded(t *events.Transaction, view resultView) error {
	a.PrintLine("result", "result", view)
	if !a.JSON {
		var took time.Duration
		for _, step := range t.Steps {
			took += time.Duration(step.DurationMs) * time.Millisecond
		}
		fmt.Fprintf(a.Stdout, "Done: transaction %d, %s in %s\n", t.Number, changed(t), output.Duration(took))
		output.PackageChanges(a.Stdout, t.Changes)
		if view.Exact != nil {
			output.FileChanges(a.Stdout, t.Files)
		}
		if view.Exact == nil && !t.Effects().Empty() {
			a.Infof("'cortex undo %d' takes it back", t.Number)
		}
	}
	if view.Exact == nil {
		return nil
	}
	if *view.Exact {
		if !a.JSON {
			fmt.Fprintln(a.Stdout, "Everything is exactly as before")
		}
		return nil
	}
	if a.JSON {
		return ExitCode(events.ErrPartial.ExitCode())
	}
	return &events.Error{
		Op: "cli", Kind: events.ErrPartial, Subject: fmt.Sprintf("transaction %d", t.Number),
		Err: errors.New("not everything is as before:\n  " + strings.Join(view.Residue, "\n  ")),
	}
}

// offerHold asks whether what went back to an older version shall stay there: the
// next upgrade would bring it forth again.
func (a *App) offerHold(ctx context.Context, t *events.Transaction) error {
	var refs []events.PackageRef
	var names []string
	for _, c := range t.Changes {
		older := c.Before.Installed() && c.After.Installed() && apt.CompareVersions(c.After.Version, c.Before.Version) < 0
		if older && !c.After.Held() {
			refs = append(refs, events.PackageRef{Name: c.Name, Arch: c.Arch})
			names = append(names, string(c.Name))
		}
	}
	switch {
	case len(refs) == 0 || a.JSON:
		return nil
	case !a.Interactive():
		a.Infof("the next upgrade brings this forth again; to keep it: cortex hold %s", strings.Join(names, " "))
		return nil
	}
	question := fmt.Sprintf("The next upgrade brings %s forth again. Hold? [y/N] ", strings.Join(names, ", "))
	if yes, err := a.Confirm(ctx, question, false); err != nil || !yes {
		return nil // the undo itself is done
	}
	return a.transact(ctx, events.Intent{Verb: events.VerbHold, Packages: refs, Options: events.Options{LockWaitSec: t.Intent.Options.LockWaitSec}}, Approval{Yes: true})
}

// changed counts what changed.
func changed(t *events.Transaction) string {
	text := output.Count(len(t.Changes), "package") + " changed"
	if n := len(t.Files); n > 0 {
		text += " and " + output.Count(n, "file") + " under /etc"
	}
	return text
}

// outputLines is how much of a failed step's output is shown.
const outputLines = 12

func (a *App) failed(t *events.Transaction, view resultView) error {
	if a.JSON {
		a.PrintLine("result", "result", view)
		return ExitCode(t.Failure.Kind.ExitCode())
	}
	for _, step := range t.Steps {
		if step.Done && !step.OK {
			lines := strings.Split(strings.TrimSpace(step.Output), "\n")
			if len(step.Argv) == 0 {
				continue // ours, not a program's
			}
			fmt.Fprintf(a.Stderr, "last lines of %s:\n", step.Argv[0])
			for _, l := range lines[max(0, len(lines)-outputLines):] {
				fmt.Fprintln(a.Stderr, "  | "+l)
			}
		}
	}
	hint := t.Failure.Hint
	if len(t.Changes) > 0 {
		fmt.Fprintf(a.Stdout, "What did change, in transaction %d:\n", t.Number)
		output.PackageChanges(a.Stdout, t.Changes)
		hint = strings.TrimPrefix(hint+fmt.Sprintf("; 'cortex undo %d' takes it back", t.Number), "; ")
	} else {
		fmt.Fprintf(a.Stdout, "Nothing changed in transaction %d\n", t.Number)
	}
	return &events.Error{Op: "cli", Kind: t.Failure.Kind, Subject: t.Failure.Subject, Err: errors.New(t.Failure.Message), Hint: hint}
}
