package limitscmd

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/iostreams"
	"cortex/cmd/units"
	"cortex/consumers/machine/limits"
	"cortex/events"
	model "cortex/projections/limits"
)

func newLimitsRun(a *commands) *cobra.Command {
	var backend string
	cmd := &cobra.Command{
		Use: "run PROFILE -- COMMAND…", Short: "Run a command under limits", Args: cmdutil.Args(2, cmdutil.AnyNumber), ValidArgsFunction: a.completeProfiles,
		Long: `Run a command under the limits of a profile. The exit code is that of the command, or
128 plus the number of the signal that ended it. The limits that are enforced are printed
and recorded before the command starts. The name of the program is recorded, its
arguments are not. Processes that the command leaves running stay under limits until
'cortex limits revert'.`,
		Example: "  cortex limits run batch -- make -j8\n  cortex limits run inference -- llama-server -m model.gguf",
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.JSON {
				return cmdutil.UsageError(cmd, errors.New("--json is not supported: the output comes from the command"))
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
		return &events.Error{Op: "cli.runLimited", Kind: events.ErrNotFound, Subject: argv[0], Err: errors.New("no such program in PATH")}
	}
	var group events.LimitsApplied
	end, err := a.RunLimited(ctx, app.LimitedProgram{
		Profile: p, Backend: backend, Argv: argv, Stdin: a.Stdin, Stdout: a.Stdout, Stderr: a.Stderr, KeepInterrupt: iostreams.IsTerminal(a.Stdin),
	}, func(applied events.LimitsApplied) {
		group = applied
		a.showApplied(applied)
	})
	if err != nil {
		return err
	}
	if end.Usage.OOMKills > 0 {
		a.Infof("note: %s killed a process because the memory limit of %s was reached", group.Backend, units.Bytes(group.Limits.MemoryBytes))
	}
	if end.Left > 0 {
		a.Infof("note: %s still running under limits; to remove the limits: cortex limits revert %s", units.Count(int(end.Left), "process"), group.Unit)
	}
	if end.Exit != 0 {
		return iostreams.ExitCode(end.Exit)
	}
	return nil
}

// showApplied prints which limits are enforced and which are not.
func (a *commands) showApplied(applied events.LimitsApplied) {
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

func newLimitsEnter() *cobra.Command {
	return &cobra.Command{
		Use: "enter", Hidden: true, DisableFlagParsing: true, PersistentPreRunE: cmdutil.WithoutSettings, Short: "Wait for limits and execute a program",
		RunE: func(_ *cobra.Command, args []string) error { return limits.WaitAndExec(args) },
	}
}

func newLimitsAttach(a *commands) *cobra.Command {
	var profile, backend string
	cmd := &cobra.Command{
		Use: "attach UNIT", Short: "Put a running unit or process under limits", Args: cmdutil.Args(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		Long: `Put a running unit or process under the limits of a profile. With systemd, name a
unit. Otherwise, name a process by its number; its descendants are limited with it.
The values from before are recorded for 'cortex limits revert'.`,
		Example: "  cortex limits attach postgresql.service --profile batch\n  cortex limits attach 4711 --profile interactive",
		RunE: func(cmd *cobra.Command, args []string) error {
			if profile == "" {
				return cmdutil.UsageError(cmd, errors.New("--profile is missing"))
			}
			p, err := a.profile(cmd.Context(), profile)
			if err != nil {
				return err
			}
			applied, err := a.AttachLimits(cmd.Context(), p, backend, args[0])
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": model.FormatVersion, "group": applied}, func(io.Writer) { a.showApplied(applied) })
		},
	}
	cmd.Flags().StringVar(&profile, "profile", "", "the profile with the limits")
	_ = cmd.RegisterFlagCompletionFunc("profile", a.completeProfiles)
	a.backendFlag(cmd, &backend)
	return cmd
}

func newLimitsRevert(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "revert GROUP…", Short: "Remove limits and leave the processes running", Args: cmdutil.Args(1, cmdutil.AnyNumber), ValidArgsFunction: a.completeUnits,
		Long: `Remove the limits of groups and leave their processes running. Processes return to the
control group, and units to the values, that they had before. A program that was
started with rlimits keeps them until it ends.`,
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
	recorded, err := a.applied(ctx, model.Filter{Unit: unit, Limit: 1})
	if err != nil {
		return err
	}
	reverted, ended, err := a.RevertLimits(ctx, recorded, unit)
	switch {
	case err != nil:
		return err
	case ended:
		a.Infof("%s has ended", unit)
		return nil
	}
	return a.PrintResult(map[string]any{"version": model.FormatVersion, "reverted": reverted}, func(io.Writer) { a.Infof("%s is no longer limited", unit) })
}
