package limitscmd

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/client"
	"cortex/cmd/output"
	"cortex/consumers/machine/limits"
	"cortex/events"
	model "cortex/projections/limits"
)

func newLimits(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "limits", Short: "Run programs within limits that this machine enforces", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `Run programs within limits of memory, processors, processes, disks and graphics
processors. A profile is a set of limits with a name; inference, training, batch and
interactive are there already, as shares of this machine. What enforces them is
found out: systemd, control groups, or what a process can be given by itself; and
what nothing enforces is called advice.

  cortex limits show batch
  cortex limits create small --memory 2G --cpu 1.5 --pids 200
  cortex limits run small -- make -j8
  cortex limits list
  cortex limits watch

Who is not root has profiles and a record of their own.`,
		PersistentPreRunE: a.prepareLimits,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLimitsCreate(a), newLimitsShow(a), newLimitsList(a), newLimitsRun(a), newLimitsAttach(a), newLimitsRevert(a), newLimitsWatch(a), newLimitsEnter())
	return cmd
}

// prepareLimits is prepare, and gives who is not root profiles and a record of their
// own: what they limit is theirs.
func (a *commands) prepareLimits(*cobra.Command, []string) error {
	err := a.LoadSettings()
	if a.UID != 0 && a.Settings.IsSystem() {
		a.Settings = a.Settings.ForUser(a.Env)
	}
	return err
}

func (a *commands) readLimits(ctx context.Context, ask func(*model.Reader) error) error {
	err := a.ReadModel(ctx, model.Name, func(db *sql.DB) error { return ask(model.NewReader(db)) })
	if err != nil && !a.HasLog() {
		return nil // a machine without a history has no profiles of its own
	}
	return err
}

// profiles gives those that were set and those that follow from the machine.
func (a *commands) profiles(ctx context.Context) (set []model.Profile, made []limits.Preset, err error) {
	err = a.readLimits(ctx, func(r *model.Reader) (err error) {
		set, err = r.Profiles(ctx)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	seen, err := a.ReadHardware(ctx)
	if err != nil {
		return nil, nil, err
	}
	made, err = limits.Presets(seen.Facts)
	if err != nil && len(set) > 0 {
		err = nil // what was set by itself needs no machine
	}
	return set, made, err
}

func (a *commands) profile(ctx context.Context, name string) (events.LimitProfile, error) {
	set, made, err := a.profiles(ctx)
	if err != nil {
		return events.LimitProfile{}, err
	}
	plain := []events.LimitProfile{}
	for _, p := range set {
		plain = append(plain, p.LimitProfile)
	}
	return limits.FindProfile(name, plain, made)
}

// backend gives what enforces limits here.
func (a *commands) backend(name string) (limits.Backend, error) {
	return limits.Detect(limits.Config{Root: "/", UID: a.UID, Run: runProgram}, name)
}

// runProgram runs a program of systemd's.
func runProgram(ctx context.Context, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out, told bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &told
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", argv[0], err, events.Tail(strings.TrimSpace(told.String()), 300))
	}
	return out.String(), nil
}

func (a *commands) completeProfiles(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	if a.prepareLimits(cmd, nil) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	set, made, err := a.profiles(context.Background())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for _, p := range set {
		out = append(out, p.Name)
	}
	for _, p := range made {
		out = append(out, p.Name+"\t"+p.Description)
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func (a *commands) completeUnits(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	if a.prepareLimits(cmd, nil) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, err := a.applied(context.Background(), model.Filter{OnlyActive: true})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for _, u := range list {
		out = append(out, u.Unit+"\t"+u.Target)
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// recordLimits puts a fact on record, waits until the read models show it and gives
// its place.
func (a *commands) recordLimits(ctx context.Context, what events.LimitsRequest) (events.Position, error) {
	if err := what.Validate(); err != nil {
		return 0, err
	}
	c, ping, err := a.Connect(ctx)
	if err != nil {
		return 0, err
	}
	if a.Settings.IsSystem() && !ping.MayChange {
		return 0, &events.Error{Op: "cli.limits", Kind: events.ErrConfirmation, Subject: "the system's record of limits", Err: errors.New("only root may add to it"), Hint: "run the command as root"}
	}
	status, err := c.Status(ctx)
	if err != nil {
		return 0, err
	}
	id, err := a.Producer(c, ping.Host).RequestLimits(ctx, what)
	if err != nil {
		return 0, err
	}
	waiting, cancel := context.WithTimeout(ctx, app.AnswerTimeout)
	defer cancel()
	for l, err := range c.Events(waiting, client.StreamOptions{After: status.Head, Kind: string(what.Fact().Kind()), Follow: true}) {
		if err != nil {
			return 0, fmt.Errorf("wait for the record of limits: %w", err)
		}
		if l.Event != nil && l.Event.Correlation == id {
			return l.Event.Position, c.WaitProjected(waiting, l.Event.Position)
		}
	}
	return 0, &events.Error{Op: "cli.limits", Kind: events.ErrUnavailable, Subject: "record of limits", Err: errors.New("the daemon did not answer in time"), Hint: "see 'cortex status'"}
}

// applied gives groups from the read model.
func (a *commands) applied(ctx context.Context, f model.Filter) (list []model.LimitedGroup, err error) {
	err = a.readLimits(ctx, func(r *model.Reader) (err error) {
		list, err = r.LimitedGroups(ctx, f)
		return err
	})
	return list, err
}

func newLimitsList(a *commands) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the profiles, and what runs under them", Args: cmdutil.CheckArgs(cobra.NoArgs), Example: "  cortex limits list --all",
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, made, err := a.profiles(cmd.Context())
			if err != nil {
				return err
			}
			groups, err := a.applied(cmd.Context(), model.Filter{OnlyActive: !all})
			if err != nil {
				return err
			}
			view := output.LimitsView{Version: model.FormatVersion, Presets: made, Profiles: append([]model.Profile{}, set...), Groups: a.present(cmd.Context(), groups)}
			return a.PrintResult(view, func(w io.Writer) { output.Limits(w, view, time.Local) })
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "also what has ended")
	return cmd
}

// present asks the machine about groups.
func (a *commands) present(ctx context.Context, groups []model.LimitedGroup) []output.LimitGroup {
	out := []output.LimitGroup{}
	for _, g := range groups {
		v := output.LimitGroup{LimitedGroup: g, State: "ended"}
		if g.Reverted == nil {
			v.State = "gone"
			if u, err := a.usage(ctx, g.LimitsApplied); err == nil {
				v.State, v.Usage = "running", &u
				if u.Pids == 0 {
					v.State = "empty"
				}
			} else if !errors.Is(err, events.ErrNotFound) {
				v.State = "unknown"
			}
		}
		out = append(out, v)
	}
	return out
}

func (a *commands) usage(ctx context.Context, g events.LimitsApplied) (events.LimitUsage, error) {
	b, err := a.backend(g.Backend)
	if err != nil {
		return events.UnknownUsage, &events.Error{Op: "cli.usage", Kind: events.ErrUnavailable, Subject: g.Unit, Err: err}
	}
	return b.Usage(ctx, g)
}

func newLimitsShow(a *commands) *cobra.Command {
	var backend string
	cmd := &cobra.Command{
		Use: "show PROFILE|GROUP", Short: "Show limits, and which of them are enforced", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)), ValidArgsFunction: a.completeProfiles,
		Long: `Show the limits of a profile, or of what runs or ran under one. For a profile they
are tried on an empty group, so that what is called enforced is what this machine
accepted; for a group it is what was recorded when it began.`,
		Example: "  cortex limits show training",
		RunE: func(cmd *cobra.Command, args []string) error {
			groups, err := a.applied(cmd.Context(), model.Filter{Unit: args[0], Limit: 1})
			if err != nil {
				return err
			}
			if len(groups) == 1 {
				view := a.present(cmd.Context(), groups)[0]
				return a.PrintResult(map[string]any{"version": model.FormatVersion, "group": view}, func(w io.Writer) { output.LimitGroupDetail(w, view, time.Local) })
			}
			p, err := a.profile(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			b, err := a.backend(backend)
			if err != nil {
				return err
			}
			unit := a.newUnit("try")
			_, effects, err := b.Prepare(cmd.Context(), unit, p.Limits)
			if err = errors.Join(err, b.Revert(cmd.Context(), events.LimitsApplied{Unit: unit, How: "run", Effects: effects})); err != nil {
				return err
			}
			view := map[string]any{"version": model.FormatVersion, "profile": p, "backend": b.Name(), "effects": effects}
			return a.PrintResult(view, func(w io.Writer) { output.LimitProfile(w, p, b.Name(), effects) })
		},
	}
	a.backendFlag(cmd, &backend)
	return cmd
}

func (a *commands) backendFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "backend", "", "what is to enforce: "+strings.Join(limits.BackendNames(), ", ")+"; the first that is here")
	_ = cmd.RegisterFlagCompletionFunc("backend", cobra.FixedCompletions(limits.BackendNames(), cobra.ShellCompDirectiveNoFileComp))
}
