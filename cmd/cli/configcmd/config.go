package configcmd

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

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
		Use: "config", Short: "Show and change settings; write the machine down and import it", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `Show and change cortex's own settings, and the machine as a text: which packages
were asked for, in which versions, what is on hold, and where packages come from.

Settings come from ` + config.SystemFile + `, then, for those who are not root, from
cortex/cortex.toml under $XDG_CONFIG_HOME (~/.config), then from the environment
(CORTEX_ and the name in capitals), then from flags; later ones win. Files are TOML.
Secrets do not belong into them and are refused.`,
		Example:           "  cortex config show --origin\n  cortex config set idle_timeout 5m\n  cortex config check\n  cortex config export >machine.toml\n  cortex config import machine.toml --dry-run",
		PersistentPreRunE: cmdutil.WithoutSettings,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigShow(a), newConfigGet(a), newConfigSet(a), newConfigUnset(a), newConfigCheck(a),
		newConfigExport(a), newConfigImport(a), newConfigDiff(a), newConfigValidate(a))
	return cmd
}

// configFile is the file that 'config set' writes to.
func (a *commands) configFile() (string, error) {
	files := a.ConfigSources().Files()
	if a.UID != 0 && len(files) < 2 {
		return "", &events.Error{Op: "cli.config", Kind: events.ErrUsage, Subject: "HOME", Err: errors.New("is not set, so there is no place for settings")}
	}
	return files[len(files)-1], nil
}

func newConfigShow(a *commands) *cobra.Command {
	var origin bool
	cmd := &cobra.Command{
		Use: "show", Short: "Show every setting and what it is", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `Show every setting and its value, as a file that could be used as one. With --origin
each says where its value comes from.`,
		Example: "  cortex config show --origin",
		RunE: func(*cobra.Command, []string) error {
			s, origins, err := config.LoadWithOrigins(a.ConfigSources())
			if err != nil {
				return err
			}
			v := output.ConfigView{Version: 1, Files: a.ConfigSources().Files()}
			keys := config.SettingSpecs()
			for name := range origins {
				if k, err := config.FindSetting(name); err == nil && !slices.ContainsFunc(keys, func(x config.SettingSpec) bool { return x.Name == name }) {
					keys = append(keys, k) // of one provider of models
				}
			}
			slices.SortFunc(keys, func(a, b config.SettingSpec) int { return strings.Compare(a.Name, b.Name) })
			for _, k := range keys {
				o := origins[k.Name]
				v.Settings = append(v.Settings, output.SettingView{
					Key: k.Name, Value: k.Value(s), Number: k.IsNumber, Description: k.Description, Env: k.EnvName(),
					Origin: o.String(), File: o.File, Line: o.Line, Column: o.Column,
				})
			}
			return a.PrintResult(v, func(w io.Writer) { v.WriteTOML(w, origin) })
		},
	}
	cmd.Flags().BoolVar(&origin, "origin", false, "tell where each value comes from")
	return cmd
}

func newConfigGet(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "get KEY", Short: "Print one setting", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		Example: "  cortex config get state_dir", ValidArgsFunction: completeSettings,
		RunE: func(_ *cobra.Command, args []string) error {
			k, err := config.FindSetting(args[0])
			if err != nil {
				return err
			}
			s, origins, err := config.LoadWithOrigins(a.ConfigSources())
			if err != nil {
				return err
			}
			v := map[string]any{"version": 1, "key": k.Name, "value": k.Value(s), "origin": origins[k.Name].String()}
			return a.PrintResult(v, func(w io.Writer) { fmt.Fprintln(w, k.Value(s)) })
		},
	}
}

func newConfigSet(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "set KEY VALUE", Short: "Change one setting in its file", Args: cmdutil.CheckArgs(cobra.ExactArgs(2)),
		Long: `Change one setting: root in ` + config.SystemFile + `, others in their own file.
Nothing else in the file is touched. A daemon that runs keeps what it started with.`,
		Example: "  cortex config set lock_timeout 10m", ValidArgsFunction: completeSettings,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.editConfig(args[0], func(path string, text []byte) ([]byte, bool, error) {
				out, err := config.Set(path, text, args[0], args[1])
				return out, true, err
			})
		},
	}
}

func newConfigUnset(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "unset KEY", Short: "Take one setting out of its file", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		Example: "  cortex config unset lock_timeout", ValidArgsFunction: completeSettings,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.editConfig(args[0], func(path string, text []byte) ([]byte, bool, error) {
				return config.Unset(path, text, args[0])
			})
		},
	}
}

// editConfig changes the file that is this person's to change.
func (a *commands) editConfig(key string, edit func(path string, text []byte) ([]byte, bool, error)) error {
	path, err := a.configFile()
	if err != nil {
		return err
	}
	text, err := config.ReadFileText(path, a.UID)
	if err != nil {
		return err
	}
	text, changed, err := edit(path, text)
	if err != nil {
		return err
	}
	if changed {
		if err := config.WriteFile(path, text); err != nil {
			return err
		}
	}
	if k, err := config.FindSetting(key); err == nil && a.Env(k.EnvName()) != "" {
		a.Infof("note: " + k.EnvName() + " is set and wins")
	}
	v := map[string]any{"version": 1, "key": key, "file": path, "changed": changed}
	return a.PrintResult(v, func(w io.Writer) {
		if !changed {
			fmt.Fprintf(w, "%s is not in %s\n", key, path)
			return
		}
		fmt.Fprintf(w, "%s is written; a daemon that runs takes it up when it starts again\n", path)
	})
}

func newConfigCheck(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "check [FILE]", Short: "Find everything wrong with the settings", Args: cmdutil.CheckArgs(cobra.MaximumNArgs(1)),
		Long: `Find everything wrong with the settings in force, or with a file; each problem
with line and column. Exits 2 when something is.`,
		Example: "  cortex config check\n  cortex config check ./cortex.toml",
		RunE: func(_ *cobra.Command, args []string) error {
			var err error
			if len(args) == 1 {
				if !app.PathExists(args[0]) {
					return &events.Error{Op: "cli.configCheck", Kind: events.ErrNotFound, Subject: args[0], Err: errors.New("there is no such file")}
				}
				_, err = config.ReadFile(args[0], max(a.UID, 1)) // whoever wrote it
			} else {
				var s config.Settings
				s, err = config.Load(a.ConfigSources())
				_, modelErr := s.ModelProviders(a.Env)
				err = joinNew(err, modelErr)
			}
			v := checked{Version: 1, OK: err == nil, Problems: []events.Failure{}}
			for _, e := range single(err) {
				v.Problems = append(v.Problems, events.FailureOf(e))
			}
			if err := a.PrintResult(v, v.write); err != nil || v.OK {
				return err
			}
			return iostreams.ExitCode(events.ErrUsage.ExitCode())
		},
	}
}

// checked is what 'config check' found.
type checked struct {
	Version  int              `json:"version"`
	OK       bool             `json:"ok"`
	Problems []events.Failure `json:"problems"`
}

func (c checked) write(w io.Writer) {
	if c.OK {
		fmt.Fprintln(w, "nothing is wrong with the settings")
	}
	for _, p := range c.Problems {
		fmt.Fprintf(w, "%s: %s\n", p.Subject, p.Message)
		if p.Hint != "" {
			fmt.Fprintf(w, "    %s\n", p.Hint)
		}
	}
}

// joinNew adds the errors of more whose subjects err does not have yet.
func joinNew(err, more error) error {
	subjects := map[string]bool{}
	for _, e := range single(err) {
		subjects[events.FailureOf(e).Subject] = true
	}
	for _, e := range single(more) {
		if !subjects[events.FailureOf(e).Subject] {
			err = errors.Join(err, e)
		}
	}
	return err
}

// single takes joined errors apart.
func single(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
		return nil
	case !ok:
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, single(e)...)
	}
	return out
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
