package transactcmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/iostreams"
	"cortex/cmd/output"
	"cortex/events"
)

// ApprovalFlags is how a plan is approved, and how it is shown.
type ApprovalFlags struct {
	app.ApprovalMode
	ShowDiff bool // show what changes inside files
}

// Flags registers --yes and --dry-run.
func (how *ApprovalFlags) Flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVarP(&how.Yes, "yes", "y", false, "approve the plan without a question")
	f.BoolVarP(&how.DryRun, "dry-run", "s", false, "show the plan and its id, and change nothing")
	f.BoolVar(&how.DryRun, "simulate", false, "the same as --dry-run")
	cmd.MarkFlagsMutuallyExclusive("yes", "dry-run")
}

// Run takes an intent from the request to its end and prints what happens.
func Run(ctx context.Context, c *cmdutil.Context, in events.Intent, how ApprovalFlags) error {
	return (&commands{c}).transact(ctx, in, how)
}

func (a *commands) transact(ctx context.Context, in events.Intent, how ApprovalFlags) error {
	out, err := a.Transact(ctx, in, how.ApprovalMode, a.frontend(how))
	return a.finish(ctx, out, err)
}

// frontend shows a transaction on the streams of a command. It holds no *commands: a type in an
// interface keeps every promoted method of its fields in the program, 250 kB of them.
type frontend struct {
	*iostreams.IO
	printDiffs func(io.Writer, []events.FileChange)
	approval   ApprovalFlags
	show       output.ProgressRenderer
	stops      []context.CancelFunc
}

var _ app.Frontend = (*frontend)(nil)

func (a *commands) frontend(how ApprovalFlags) *frontend {
	return &frontend{IO: a.IO, printDiffs: a.PrintDiffs, approval: how, show: a.Renderer()}
}

// ShowPlan implements [app.Frontend].
func (f *frontend) ShowPlan(t *events.Transaction) {
	f.PrintLine("plan", "plan", planView{PlanID: t.PlanID, Transaction: t.ID, Number: t.Number, Plan: t.Plan})
	if t.Plan.Empty() || f.JSON || f.approval.ExactPlan && f.Quiet {
		return
	}
	output.Plan(f.Stdout, t.Plan)
	if f.approval.ShowDiff && len(t.Plan.Files()) > 0 {
		f.printDiffs(f.Stdout, t.Plan.Files())
	}
}

// Confirm implements [app.Frontend]. The default answer is yes unless packages are
// removed or something cannot be restored.
func (f *frontend) Confirm(ctx context.Context, p events.Plan) (yes, ok bool, err error) {
	if !f.Interactive() {
		return false, false, nil
	}
	defaultYes := len(p.Residue) == 0
	for _, c := range p.Changes {
		if c.Action == events.ActionRemove || c.Action == events.ActionPurge {
			defaultYes = false
		}
	}
	question := "Go ahead? [y/N] "
	if defaultYes {
		question = "Go ahead? [Y/n] "
	}
	yes, err = f.IO.Confirm(ctx, question, defaultYes)
	return yes, true, err
}

// Replanning implements [app.Frontend].
func (f *frontend) Replanning() {
	if !f.JSON { // with --json the next plan shows it
		fmt.Fprintln(f.Stderr, "the machine changed meanwhile; planning again")
	}
}

// Event implements [app.Frontend].
func (f *frontend) Event(r events.Record) { f.show.Event(r) }

// Progress implements [app.Frontend].
func (f *frontend) Progress(p events.Progress) { f.show.Progress(p) }

// Tick implements [app.Frontend].
func (f *frontend) Tick(now time.Time) { f.show.Tick(now) }

// Expect implements [app.Frontend].
func (f *frontend) Expect(x app.Estimate) {
	f.show.SetForecast(output.Forecast{Started: x.Started, Expected: x.Expected, ExpectedMs: x.Expected.Milliseconds(), DownloadBytes: x.DownloadBytes})
}

// Finish implements [app.Frontend].
func (f *frontend) Finish() {
	f.show.Finish()
	for _, stop := range f.stops {
		stop()
	}
	f.stops = nil
}

// KeepWatching implements [app.Frontend].
func (f *frontend) KeepWatching(t *events.Transaction) context.Context {
	if !f.Interactive() {
		return nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	question := fmt.Sprintf("Transaction %d continues in the background. Stop watching? [Y/n] ", t.Number)
	line, more, err := f.Prompt(ctx, question)
	if err != nil || !more || !strings.HasPrefix(strings.ToLower(line), "n") {
		stop()
		return nil
	}
	f.stops = append(f.stops, stop)
	f.show = f.Renderer()
	return ctx
}
