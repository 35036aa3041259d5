package limitscmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/iostreams"
	"cortex/cmd/output"
	"cortex/cmd/parts"
	"cortex/consumers/machine/limits"
	"cortex/events"
	model "cortex/projections/limits"
)

// newUnit names a group of processes unlike every other.
func (a *commands) newUnit(profile string) string {
	id := strings.ReplaceAll(string(parts.NewID()), "-", "")
	return "cortex-" + profile + "-" + id[len(id)-8:]
}

func newLimitsRun(a *commands) *cobra.Command {
	var backend string
	cmd := &cobra.Command{
		Use: "run PROFILE -- COMMAND…", Short: "Run a command within limits", Args: cmdutil.CheckArgs(cobra.MinimumNArgs(2)), ValidArgsFunction: a.completeProfiles,
		Long: `Run a command within the limits of a profile, and exit as it does: with its code, or
with 128 and a signal's number. What is enforced is told first and is on record
before the command starts; the name of the program is recorded, its arguments are
not. When the command ends what it leaves running stays limited, until 'cortex
limits revert'.`,
		Example: "  cortex limits run batch -- make -j8\n  cortex limits run inference -- llama-server -m model.gguf",
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.JSON {
				return cmdutil.UsageError(cmd, errors.New("what is printed is the command's, so there is no --json"))
			}
			return a.runLimited(cmd.Context(), args[0], backend, args[1:])
		},
	}
	a.backendFlag(cmd, &backend)
	return cmd
}

func (a *commands) runLimited(ctx context.Context, profile, backend string, argv []string) error {
	p, err := a.profile(ctx, profile)
	if err != nil {
		return err
	}
	if _, err := exec.LookPath(argv[0]); err != nil {
		return &events.Error{Op: "cli.runLimited", Kind: events.ErrNotFound, Subject: argv[0], Err: errors.New("there is no such program")}
	}
	b, err := a.backend(backend)
	if err != nil {
		return err
	}
	applied := events.LimitsApplied{Unit: a.newUnit(p.Name), Profile: p.Name, Limits: p.Limits, How: "run", Backend: b.Name(), Target: filepath.Base(argv[0])}
	entry, effects, err := b.Prepare(ctx, applied.Unit, p.Limits)
	if err != nil {
		return err
	}
	applied.Effects, entry.WaitForGo = effects, true
	run, err := a.startLimited(entry, argv)
	if err != nil {
		return errors.Join(err, b.Revert(context.WithoutCancel(ctx), applied))
	}
	applied.PID = run.cmd.Process.Pid
	if _, err := a.recordLimits(ctx, events.LimitsRequest{Applied: &applied}); err != nil {
		_ = run.gate.Close() // it ends without having started the program
		_ = run.wait()
		return errors.Join(err, b.Revert(context.WithoutCancel(ctx), applied))
	}
	a.tell(applied)
	return a.finish(context.WithoutCancel(ctx), b, applied, run)
}

// tell says what is enforced and what is not.
func (a *commands) tell(applied events.LimitsApplied) {
	var on []string
	for _, e := range applied.Effects {
		if e.Enforced {
			on = append(on, e.Resource)
			continue
		}
		a.Infof("note: %s is advice only: %s", e.Resource, e.Reason)
	}
	if len(on) == 0 {
		on = []string{"nothing"}
	}
	a.Infof("%s enforces %s; the group is %s", applied.Backend, strings.Join(on, ", "), applied.Unit)
}

// limited is a process that waits before it becomes the program.
type limited struct {
	cmd     *exec.Cmd
	gate    *os.File
	signals chan os.Signal
}

func (a *commands) startLimited(entry limits.LaunchSpec, argv []string) (*limited, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	full, err := entry.Command([]string{self, "limits", "enter"}, argv)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(full[0], full[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = a.Stdin, a.Stdout, a.Stderr, []*os.File{r}
	run := &limited{cmd, w, make(chan os.Signal, 4)}
	signal.Notify(run.signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	err = cmd.Start()
	_ = r.Close() // the process has its own
	if err != nil {
		signal.Stop(run.signals)
		return nil, errors.Join(fmt.Errorf("start %s: %w", full[0], err), w.Close())
	}
	return run, nil
}

// wait gives the exit code, and meanwhile hands on signals. A terminal's interrupt
// has reached the program already.
func (r *limited) wait() int {
	done := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for {
			select {
			case s := <-r.signals:
				if s != syscall.SIGINT || !iostreams.IsTerminal(r.cmd.Stdin) {
					_ = r.cmd.Process.Signal(s) // it may have ended
				}
			case <-done:
				return
			}
		}
	}()
	_ = r.cmd.Wait() // the state below says how it ended
	close(done)
	<-finished
	signal.Stop(r.signals)
	if s, ok := r.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return 128 + int(s.Signal())
	}
	return r.cmd.ProcessState.ExitCode()
}

// finish lets the program go, waits for its end, and takes its limits away unless
// it left processes behind.
func (a *commands) finish(ctx context.Context, b limits.Backend, applied events.LimitsApplied, run *limited) error {
	_, err := run.gate.Write([]byte{1})
	err = errors.Join(err, run.gate.Close())
	code := run.wait()
	used, gone := b.Usage(ctx, applied)
	if used.OOMKills > 0 {
		a.Infof("note: %s ended a process because memory of %s was used up", applied.Backend, output.Bytes(applied.Limits.MemoryBytes))
	}
	if gone == nil && used.Pids > 0 {
		a.Infof("note: it left %d running, which stay limited as %s", used.Pids, applied.Unit)
		return errors.Join(err, exitOf(code))
	}
	err = errors.Join(err, b.Revert(ctx, applied))
	_, recorded := a.recordLimits(ctx, events.LimitsRequest{Reverted: &events.LimitsReverted{Unit: applied.Unit, Reason: "ended", Exit: code, Usage: used}})
	if err = errors.Join(err, recorded); err != nil {
		return err
	}
	return exitOf(code)
}

func exitOf(code int) error {
	if code == 0 {
		return nil
	}
	return iostreams.ExitCode(code)
}

func newLimitsEnter() *cobra.Command {
	return &cobra.Command{
		Use: "enter", Hidden: true, DisableFlagParsing: true, PersistentPreRunE: cmdutil.WithoutSettings, Short: "Become a program within limits",
		RunE: func(_ *cobra.Command, args []string) error { return limits.ApplyAndExec(args) },
	}
}

func newLimitsAttach(a *commands) *cobra.Command {
	var profile, backend string
	cmd := &cobra.Command{
		Use: "attach UNIT", Short: "Put what runs within limits", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)), ValidArgsFunction: cobra.NoFileCompletions,
		Long: `Put what runs within the limits of a profile: a unit where systemd runs, and
otherwise a process, by its number, with those that it started. What it had before
is kept, for 'cortex limits revert'.`,
		Example: "  cortex limits attach postgresql.service --profile batch\n  cortex limits attach 4711 --profile interactive",
		RunE: func(cmd *cobra.Command, args []string) error {
			if profile == "" {
				return cmdutil.UsageError(cmd, errors.New("say with --profile which limits"))
			}
			p, err := a.profile(cmd.Context(), profile)
			if err != nil {
				return err
			}
			b, err := a.backend(backend)
			if err != nil {
				return err
			}
			return a.attachLimits(cmd.Context(), b, p, args[0])
		},
	}
	cmd.Flags().StringVar(&profile, "profile", "", "the limits")
	_ = cmd.RegisterFlagCompletionFunc("profile", a.completeProfiles)
	a.backendFlag(cmd, &backend)
	return cmd
}

func (a *commands) attachLimits(ctx context.Context, b limits.Backend, p events.LimitProfile, target string) error {
	open, err := a.applied(ctx, model.Filter{OnlyActive: true})
	if err != nil {
		return err
	}
	for _, g := range a.present(ctx, open) {
		if g.How == "attach" && g.State != "gone" && (g.Target == target || g.Unit == target || g.Unit == target+".service") {
			return &events.Error{Op: "cli.attachLimits", Kind: events.ErrConflict, Subject: target, Err: errors.New("it is within limits already"), Hint: "take them away first: cortex limits revert " + g.Unit}
		}
	}
	applied := events.LimitsApplied{Profile: p.Name, Limits: p.Limits, How: "attach", Backend: b.Name(), Target: target}
	applied.Unit, applied.Effects, err = b.Attach(ctx, a.newUnit(p.Name), target, p.Limits)
	if err != nil {
		return err
	}
	if n, bad := fmt.Sscan(target, &applied.PID); n != 1 || bad != nil {
		applied.PID = 0 // a unit
	}
	if _, err := a.recordLimits(ctx, events.LimitsRequest{Applied: &applied}); err != nil {
		return errors.Join(err, b.Revert(context.WithoutCancel(ctx), applied))
	}
	return a.PrintResult(map[string]any{"version": model.FormatVersion, "group": applied}, func(io.Writer) { a.tell(applied) })
}

func newLimitsRevert(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "revert GROUP…", Short: "Take limits away and let the processes live", Args: cmdutil.CheckArgs(cobra.MinimumNArgs(1)), ValidArgsFunction: a.completeUnits,
		Long:    "Take the limits of groups away and let their processes live: where they were before, with what they had before. A program keeps for good what only itself could be given when it started, and its note says so.",
		Example: "  cortex limits revert cortex-batch-1a2b3c4d",
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, unit := range args {
				if err := a.revertLimits(cmd.Context(), unit); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (a *commands) revertLimits(ctx context.Context, unit string) error {
	list, err := a.applied(ctx, model.Filter{Unit: unit, Limit: 1})
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return &events.Error{Op: "cli.revertLimits", Kind: events.ErrNotFound, Subject: fmt.Sprintf("%q", unit), Err: errors.New("nothing of that name is within limits"), Hint: "see 'cortex limits list'"}
	}
	g := list[0]
	if g.Reverted != nil {
		a.Infof("%s has ended", unit)
		return nil
	}
	b, err := a.backend(g.Backend)
	if err != nil {
		return err
	}
	used, gone := b.Usage(ctx, g.LimitsApplied)
	if gone == nil && g.Backend == limits.Rlimits && g.How == "run" {
		return &events.Error{Op: "cli.revertLimits", Kind: events.ErrDenied, Subject: unit, Err: errors.New("a program that was started with rlimits keeps them until it ends")}
	}
	if err := b.Revert(ctx, g.LimitsApplied); err != nil {
		return err
	}
	reverted := events.LimitsReverted{Unit: unit, Reason: "asked", Usage: used}
	if _, err := a.recordLimits(ctx, events.LimitsRequest{Reverted: &reverted}); err != nil {
		return err
	}
	return a.PrintResult(map[string]any{"version": model.FormatVersion, "reverted": reverted}, func(io.Writer) { a.Infof("%s is not limited any more", unit) })
}
