package configcmd

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/iostreams"
	"cortex/cmd/config"
	"cortex/cmd/output"
	"cortex/events"
)

func newConfig(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Change settings; export and import the machine", Args: cmdutil.Args(0, 0),
		Long: `Show and change the settings of cortex. Export the machine as a manifest, and import one: the
manually installed packages with their versions, holds, and package sources.

Cortex reads settings from ` + config.SystemFile + `; for unprivileged users also from
cortex/cortex.toml in $XDG_CONFIG_HOME (default ~/.config); then from the environment
(CORTEX_ and the name in capitals); then from flags. Later values win. The files are TOML.
Do not put secrets into them: cortex refuses such files.`,
		Example: `  cortex config show --origin
  cortex config set idle_timeout 5m
  cortex config check
  cortex config export >machine.toml
  cortex config import machine.toml --dry-run`,
		PersistentPreRunE: cmdutil.WithoutSettings,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigShow(a), newConfigGet(a), newConfigSet(a), newConfigUnset(a), newConfigCheck(a),
		newConfigExport(a), newConfigImport(a), newConfigDiff(a), newConfigValidate(a))
	return cmd
}

func newConfigShow(a *commands) *cobra.Command {
	var origin bool
	cmd := &cobra.Command{
		Use: "show", Short: "Show every setting and its value", Args: cmdutil.Args(0, 0),
		Long: `Show every setting and its value in the form of a settings file. With --origin, also show
the file or variable that sets each value.`,
		Example: "  cortex config show --origin",
		RunE: func(*cobra.Command, []string) error {
			list, err := a.ListSettings()
			if err != nil {
				return err
			}
			return a.PrintResult(list, func(w io.Writer) { output.ConfigListing(w, list, origin) })
		},
	}
	cmd.Flags().BoolVar(&origin, "origin", false, "show the file or variable that sets each value")
	return cmd
}

func newConfigGet(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "get KEY", Short: "Print one setting", Args: cmdutil.Args(1, 1),
		Example: "  cortex config get state_dir", ValidArgsFunction: completeSettings,
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := a.Setting(args[0])
			if err != nil {
				return err
			}
			v := map[string]any{"version": 1, "key": s.Key, "value": s.Value, "origin": s.Origin}
			return a.PrintResult(v, func(w io.Writer) { fmt.Fprintln(w, s.Value) })
		},
	}
}

func newConfigSet(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "set KEY VALUE", Short: "Set one setting in its file", Args: cmdutil.Args(2, 2),
		Long: `Set one setting: as root in ` + config.SystemFile + `, as another user in your own file. The
rest of the file does not change. A running daemon uses the new value after a restart.`,
		Example: "  cortex config set lock_timeout 10m", ValidArgsFunction: completeSettings,
		RunE: func(_ *cobra.Command, args []string) error {
			edit, err := a.ChangeSetting(args[0], args[1])
			if err != nil {
				return err
			}
			return a.printEdit(edit)
		},
	}
}

func newConfigUnset(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "unset KEY", Short: "Remove one setting from its file", Args: cmdutil.Args(1, 1),
		Example: "  cortex config unset lock_timeout", ValidArgsFunction: completeSettings,
		RunE: func(_ *cobra.Command, args []string) error {
			edit, err := a.UnsetSetting(args[0])
			if err != nil {
				return err
			}
			return a.printEdit(edit)
		},
	}
}

func (a *commands) printEdit(e app.SettingEdit) error {
	if e.Overridden != "" {
		a.Infof("note: %s is set and overrides the file", e.Overridden)
	}
	v := map[string]any{"version": 1, "key": e.Key, "file": e.File, "changed": e.Changed}
	return a.PrintResult(v, func(w io.Writer) {
		if !e.Changed {
			fmt.Fprintf(w, "%s is not set in %s\n", e.Key, e.File)
			return
		}
		fmt.Fprintf(w, "%s changed; restart the daemon for this to take effect: cortex daemon stop\n", e.File)
	})
}

func newConfigCheck(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "check [FILE]", Short: "Check the settings for errors", Args: cmdutil.Args(0, 1),
		Long: `Check the settings in force, or a file. Every problem is listed with line and column. The
exit code is 2 if there is a problem.`,
		Example: "  cortex config check\n  cortex config check ./cortex.toml",
		RunE: func(_ *cobra.Command, args []string) error {
			problems, err := a.CheckConfig(append(args, "")[0])
			if err != nil {
				return err
			}
			ok := len(problems) == 0
			v := map[string]any{"version": 1, "ok": ok, "problems": problems}
			if err := a.PrintResult(v, func(w io.Writer) { output.ConfigProblems(w, problems) }); err != nil || ok {
				return err
			}
			return iostreams.ExitCode(events.ErrUsage.ExitCode())
		},
	}
}

func completeSettings(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, k := range config.SettingSpecs() {
		out = append(out, k.Name+"\t"+k.Description)
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
