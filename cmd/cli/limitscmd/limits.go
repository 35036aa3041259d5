package limitscmd

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/adapters"
	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/consumers/machine/limits"
	"cortex/events"
	model "cortex/projections/limits"
)

func newLimits(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "limits", Short: "Run programs under resource limits", Args: cmdutil.Args(0, 0),
		Long: `Run programs under limits of memory, processors, processes, disks and graphics
processors. A profile is a set of limits with a name. The profiles inference,
training, batch and interactive are built in, as shares of this machine. Systemd,
control groups or the limits of a single process enforce them. A limit that is not
enforced is called advice.

  cortex limits show batch
  cortex limits create small --memory 2G --cpu 1.5 --pids 200
  cortex limits run small -- make -j8
  cortex limits list
  cortex limits watch

Unprivileged users have their own profiles and history.`,
		PersistentPreRunE: a.prepareLimits,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLimitsCreate(a), newLimitsShow(a), newLimitsList(a), newLimitsRun(a), newLimitsAttach(a), newLimitsRevert(a), newLimitsWatch(a), newLimitsEnter())
	return cmd
}

// prepareLimits loads the settings. An unprivileged user gets a state directory of their own.
func (a *commands) prepareLimits(cmd *cobra.Command, args []string) error {
	err := a.LoadSettings()
	if a.UID != 0 && a.Settings.IsSystem() {
		a.Settings = a.Settings.ForUser(a.Env)
	}
	return err
}

func (a *commands) readLimits(ctx context.Context, ask func(*model.Reader) error) error {
	err := a.ReadModel(ctx, model.Name, func(db *sql.DB) error { return ask(model.NewReader(db)) })
	if err != nil && !a.HasLog() {
		return nil // without a log there are only presets
	}
	return err
}

// profiles returns the profiles that users created and the presets of this machine.
func (a *commands) profiles(ctx context.Context) (set []model.Profile, presets []limits.Preset, err error) {
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
	presets, err = limits.Presets(seen.Facts)
	if err != nil && len(set) > 0 {
		err = nil // profiles of users do not need hardware facts
	}
	return set, presets, err
}

func (a *commands) profile(ctx context.Context, name string) (events.LimitProfile, error) {
	set, presets, err := a.profiles(ctx)
	if err != nil {
		return events.LimitProfile{}, err
	}
	plain := []events.LimitProfile{}
	for _, p := range set {
		plain = append(plain, p.LimitProfile)
	}
	return limits.FindProfile(name, plain, presets)
}

func (a *commands) completeProfiles(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	if a.prepareLimits(cmd, nil) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	set, presets, err := a.profiles(context.Background())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for _, p := range set {
		out = append(out, p.Name)
	}
	for _, p := range presets {
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

// applied returns groups from the read model.
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
		Use: "list", Short: "List profiles and limited groups", Args: cmdutil.Args(0, 0), Example: "  cortex limits list --all",
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, presets, err := a.profiles(cmd.Context())
			if err != nil {
				return err
			}
			groups, err := a.applied(cmd.Context(), model.Filter{OnlyActive: !all})
			if err != nil {
				return err
			}
			view := output.LimitsView{Version: model.FormatVersion, Presets: presets, Profiles: append([]model.Profile{}, set...), Groups: a.present(cmd.Context(), groups)}
			return a.PrintResult(view, func(w io.Writer) { output.Limits(w, view, time.Local) })
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "include groups that have ended")
	return cmd
}

// present adds the state of the groups on this machine.
func (a *commands) present(ctx context.Context, groups []model.LimitedGroup) []output.LimitGroup {
	out := []output.LimitGroup{}
	machine := adapters.LimitsMachine(a.Settings)
	for _, g := range groups {
		v := output.LimitGroup{LimitedGroup: g, State: "ended"}
		if g.Reverted == nil {
			v.State = "gone"
			if u, err := machine.Usage(ctx, limits.Group{LimitsApplied: g.LimitsApplied, At: g.At}); err == nil {
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

func newLimitsShow(a *commands) *cobra.Command {
	var backend string
	cmd := &cobra.Command{
		Use: "show PROFILE|GROUP", Short: "Show limits and which of them are enforced", Args: cmdutil.Args(1, 1), ValidArgsFunction: a.completeProfiles,
		Long: `Show the limits of a profile or of a group. The limits of a profile are tried on an
empty group, so "enforced" means that this machine accepted them. The limits of a
group are those that were recorded when it started.`,
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
			b, err := limits.Detect(adapters.LimitsConfig(a.Settings), backend)
			if err != nil {
				return err
			}
			effects, err := b.Try(cmd.Context(), app.NewLimitUnit("try"), p.Limits)
			if err != nil {
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
	cmd.Flags().StringVar(to, "backend", "", "enforce with "+strings.Join(limits.BackendNames(), ", ")+" (default: the first one available)")
	_ = cmd.RegisterFlagCompletionFunc("backend", cobra.FixedCompletions(limits.BackendNames(), cobra.ShellCompDirectiveNoFileComp))
}
