package transactcmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cortex/cmd/app"
	"cortex/cmd/cli/iostreams"
	"cortex/cmd/output"
	"cortex/cmd/units"
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

// outputLines is how many of the last lines of a failed step are shown.
const outputLines = 12

// finish prints how a request ended and returns the error of the command.
func (a *commands) finish(ctx context.Context, out app.Outcome, err error) error {
	if err != nil {
		return err
	}
	t := out.Transaction
	switch out.Result {
	case app.ResultNothingToDo:
		a.Infof("nothing to do: %s", output.NothingToDo(t.Intent))
		a.PrintLine("result", "result", map[string]any{"state": "nothing-to-do", "id": t.ID, "number": t.Number})
		return nil
	case app.ResultPlanned:
		a.Infof("nothing was changed; to run exactly this plan: cortex apply %s", t.PlanID)
		a.PrintLine("result", "result", map[string]any{"state": "planned", "plan_id": t.PlanID, "id": t.ID, "number": t.Number})
		return nil
	case app.ResultEnded:
	}
	view := resultView{State: t.State, Transaction: t.ID, Number: t.Number, Changes: t.Changes, Files: t.Files, Settings: t.Settings, Failure: t.Failure}
	if out.Undone != nil {
		view.Exact, view.Residue = &out.Undone.Exact, out.Undone.Residue
	}
	if t.State != events.StateSucceeded {
		return a.failed(t, view)
	}
	err = a.succeeded(t, view)
	if t.Intent.Verb.Reverts() && !t.Intent.Options.Hold {
		err = errors.Join(err, a.offerHold(ctx, t))
	}
	return err
}

// succeeded prints a transaction that succeeded. An undo that is not exact is an error.
func (a *commands) succeeded(t *events.Transaction, view resultView) error {
	a.PrintLine("result", "result", view)
	if !a.JSON {
		var took time.Duration
		for _, step := range t.Steps {
			took += time.Duration(step.DurationMs) * time.Millisecond
		}
		fmt.Fprintf(a.Stdout, "Done: transaction %d, %s in %s\n", t.Number, changed(t), units.Duration(took))
		output.PackageChanges(a.Stdout, t.Changes)
		if view.Exact != nil {
			output.FileChanges(a.Stdout, t.Files)
		}
		if view.Exact == nil && !t.Effects().Empty() {
			a.Infof("to undo: cortex undo %d", t.Number)
		}
	}
	switch {
	case view.Exact == nil:
		return nil
	case *view.Exact:
		if !a.JSON {
			fmt.Fprintln(a.Stdout, "Everything is exactly as before")
		}
		return nil
	case a.JSON:
		return iostreams.ExitCode(events.ErrPartial.ExitCode())
	}
	return &events.Error{
		Op: "cli", Kind: events.ErrPartial, Subject: fmt.Sprintf("transaction %d", t.Number),
		Err: errors.New("not everything is as before:\n  " + strings.Join(view.Residue, "\n  ")),
	}
}

// offerHold asks whether to hold the packages that went back to an older version: the next
// upgrade would install the newer version again.
func (a *commands) offerHold(ctx context.Context, t *events.Transaction) error {
	refs := app.Downgraded(t)
	var names []string
	for _, r := range refs {
		names = append(names, string(r.Name))
	}
	switch {
	case len(refs) == 0 || a.JSON:
		return nil
	case !a.Interactive():
		a.Infof("the next upgrade will install the newer version again; to prevent that: cortex hold %s", strings.Join(names, " "))
		return nil
	}
	question := fmt.Sprintf("The next upgrade will install a newer %s again. Hold? [y/N] ", strings.Join(names, ", "))
	if yes, err := a.Confirm(ctx, question, false); err != nil || !yes {
		return nil // the undo itself is done
	}
	in := events.Intent{Verb: events.VerbHold, Packages: refs, Options: events.Options{LockWaitSec: t.Intent.Options.LockWaitSec}}
	return a.transact(ctx, in, ApprovalFlags{ApprovalMode: app.ApprovalMode{Yes: true}})
}

// changed counts what a transaction changed.
func changed(t *events.Transaction) string {
	text := units.Count(len(t.Changes), "package") + " changed"
	if n := len(t.Files); n > 0 {
		text += " and " + units.Count(n, "file") + " under /etc"
	}
	return text
}

// failed prints a transaction that failed or was interrupted, and returns its error.
func (a *commands) failed(t *events.Transaction, view resultView) error {
	if a.JSON {
		a.PrintLine("result", "result", view)
		return iostreams.ExitCode(t.Failure.Kind.ExitCode())
	}
	for _, step := range t.Steps {
		if step.Done && !step.OK && len(step.Argv) > 0 {
			lines := strings.Split(strings.TrimSpace(step.Output), "\n")
			fmt.Fprintf(a.Stderr, "last lines of %s:\n", step.Argv[0])
			for _, l := range lines[max(0, len(lines)-outputLines):] {
				fmt.Fprintln(a.Stderr, "  | "+l)
			}
		}
	}
	hint := t.Failure.Hint
	if len(t.Changes) > 0 {
		fmt.Fprintf(a.Stdout, "Changed in transaction %d:\n", t.Number)
		output.PackageChanges(a.Stdout, t.Changes)
		hint = strings.TrimPrefix(hint+fmt.Sprintf("; to undo: cortex undo %d", t.Number), "; ")
	} else {
		fmt.Fprintf(a.Stdout, "Nothing changed in transaction %d\n", t.Number)
	}
	return &events.Error{Op: "cli", Kind: t.Failure.Kind, Subject: t.Failure.Subject, Err: errors.New(t.Failure.Message), Hint: hint}
}
