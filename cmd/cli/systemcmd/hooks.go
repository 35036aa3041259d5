package systemcmd

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
)

func newHooks(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "hooks", Short: "Record changes made directly with apt or dpkg", Args: cmdutil.Args(0, 0),
		Long: `Record changes made directly with apt or dpkg. With the hooks, a change by apt, aptitude, nala,
unattended-upgrades or dpkg is a transaction in the history, with the user and the command, and
you can undo it. The hooks never make a package manager fail, and do nothing after cortex is
removed. Without them, the daemon detects such changes later, as drift.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		&cobra.Command{Use: "install", Short: "Install the hooks", Args: cmdutil.Args(0, 0), RunE: func(*cobra.Command, []string) error {
			return a.changeHooks(a.InstallHooks, "hooks installed; 'cortex history' shows changes by apt and dpkg")
		}},
		&cobra.Command{Use: "uninstall", Short: "Remove the hooks", Args: cmdutil.Args(0, 0), RunE: func(*cobra.Command, []string) error {
			return a.changeHooks(a.UninstallHooks, "hooks removed")
		}},
		&cobra.Command{Use: "status", Short: "Show whether the hooks are installed", Args: cmdutil.Args(0, 0), RunE: func(*cobra.Command, []string) error {
			return a.hooksStatus()
		}},
	)
	return cmd
}

// changeHooks installs or removes the hooks; with --json it prints the new status.
func (a *commands) changeHooks(change func() error, done string) error {
	if err := change(); err != nil {
		return err
	}
	if a.JSON {
		return a.hooksStatus()
	}
	a.Infof("%s", done)
	return nil
}

func (a *commands) hooksStatus() error {
	files := a.HooksStatus()
	return a.PrintResult(map[string]any{"version": 1, "files": files}, func(w io.Writer) {
		for _, f := range files {
			state := "not installed"
			if f.Installed {
				state = "installed"
			}
			fmt.Fprintf(w, "%-32s %s\n", f.Path, state)
		}
	})
}

// newHook is the command in the hook files. It always succeeds and prints nothing on
// standard output: an error of cortex must not become an error of apt.
func newHook(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "hook " + strings.Join(app.HookPoints, "|"), Short: "Record a change by apt or dpkg", Hidden: true, Args: cmdutil.Args(1, 1),
		PersistentPreRunE: cmdutil.WithoutSettings,
		RunE: func(cmd *cobra.Command, args []string) error {
			err := a.LoadSettings()
			if err == nil {
				err = a.RunHook(cmd.Context(), args[0], a.Stdin)
			}
			if err != nil {
				fmt.Fprintln(a.Stderr, "cortex: this change is not recorded:", err)
			}
			return nil
		},
	}
}
