package systemcmd

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cortex/cmd/api"
	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/iostreams"
	"cortex/cmd/client"
	"cortex/cmd/output"
	"cortex/events"
	"cortex/projections/history"
)

func newDaemon(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "daemon", Short: "Run, start, stop or look at the daemon", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: "Run, start, stop or look at the daemon. Commands start it by themselves when they need it; it leaves when nobody has needed it for a while (CORTEX_IDLE_TIMEOUT).",
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		&cobra.Command{Use: "run", Short: "Be the daemon, in the foreground", Args: cmdutil.CheckArgs(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error {
			if err := client.CreateStateDir(a.Settings); err != nil {
				return err
			}
			if a.Engine.Run == nil {
				err := a.BecomeEngine()
				client.ReadyNotifier(a.Env(client.ReadyFDEnv))(err)
				return err
			}
			return a.Engine.Run(cmd.Context(), a.Settings, a.Build, a.newLogger(), client.ReadyNotifier(a.Env(client.ReadyFDEnv)))
		}},
		&cobra.Command{Use: "start", Short: "Start the daemon in the background", Args: cmdutil.CheckArgs(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error {
			_, p, err := a.Connect(cmd.Context())
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "pid": p.PID}, func(w io.Writer) { fmt.Fprintf(w, "the daemon runs as process %d\n", p.PID) })
		}},
		&cobra.Command{Use: "stop", Short: "Stop the daemon once nothing runs", Args: cmdutil.CheckArgs(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error {
			err := a.Dial().Stop(cmd.Context())
			if errors.Is(err, events.ErrUnavailable) {
				a.Infof("no daemon runs")
				return nil
			}
			if err == nil {
				a.Infof("the daemon is gone")
			}
			return err
		}},
		&cobra.Command{Use: "status", Short: "Tell whether the daemon runs", Args: cmdutil.CheckArgs(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error {
			return a.status(cmd)
		}},
	)
	return cmd
}

func newStatus(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Tell how cortex is: daemon, log, read models, parked events", Args: cmdutil.CheckArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.status(cmd) },
	}
}

// statusView is what status tells as JSON.
type statusView struct {
	Version int               `json:"version"`
	Running bool              `json:"daemon_runs"`
	State   string            `json:"state"`
	Socket  string            `json:"socket"`
	Used    bool              `json:"has_history"`
	Daemon  *api.DaemonStatus `json:"daemon,omitempty"`
}

func (a *commands) status(cmd *cobra.Command) error {
	v := statusView{Version: 1, State: a.Settings.StateDir, Socket: a.Settings.Socket, Used: a.HasLog()}
	s, err := a.Dial().Status(cmd.Context())
	switch {
	case err == nil:
		v.Running, v.Daemon = true, &s
	case !errors.Is(err, events.ErrUnavailable):
		return err
	}
	return a.PrintResult(v, func(w io.Writer) {
		if !v.Running {
			fmt.Fprintf(w, "daemon       not running; it starts when a command needs it\n")
			fmt.Fprintf(w, "state        %s\n", v.State)
			if !v.Used {
				fmt.Fprintln(w, "history      none yet")
			}
			return
		}
		output.Status(w, s)
	})
}

func newReplay(a *commands) *cobra.Command {
	var verify bool
	var until, into string
	cmd := &cobra.Command{
		Use: "replay [PROJECTION]", Short: "Rebuild the read models from the first fact", Args: cmdutil.CheckArgs(cobra.MaximumNArgs(1)),
		Long: `Rebuild the read models, or one of them, from the first fact; readers see the old one until the new one is complete. With --verify nothing is replaced: a rebuild is compared with the live one, and a difference exits 1.

With --until and --into nothing is replaced either: the read model (history, unless
another is named) is written into a new SQLite file as it was at that position or time.

  cortex replay --verify
  cortex replay packages --until 2026-11-01 --into packages.db`,
		ValidArgs: []string{"history", "packages", "hardware", "audit"},
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			if until != "" || into != "" {
				if verify {
					return cmdutil.UsageError(cmd, errors.New("--verify compares with what is now"))
				}
				return a.replayInto(cmd, cmp.Or(name, history.Name), until, into)
			}
			if !a.HasLog() {
				return a.NoHistory()
			}
			c, _, err := a.Connect(cmd.Context())
			if err != nil {
				return err
			}
			done, err := c.Replay(cmd.Context(), name, verify)
			if err != nil {
				return err
			}
			differs := false
			for _, d := range done {
				differs = differs || len(d.Differences) > 0
			}
			if err := a.PrintResult(map[string]any{"version": 1, "replayed": done}, func(w io.Writer) { output.ReplayResults(w, done) }); err != nil || !differs {
				return err
			}
			if a.JSON {
				return iostreams.ExitCode(1)
			}
			return &events.Error{Op: "cli.replay", Kind: events.ErrCorrupt, Err: errors.New("a read model is not what the log gives"), Hint: "'cortex replay' rebuilds it"}
		},
	}
	cmd.Flags().BoolVar(&verify, "verify", false, "compare instead of replacing")
	cmd.Flags().StringVar(&until, "until", "", "as it was then: a position, or a time")
	cmd.Flags().StringVar(&into, "into", "", "write it into this new file")
	return cmd
}

func newVersion(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cmdutil.CheckArgs(cobra.NoArgs),
		PersistentPreRunE: cmdutil.WithoutSettings,
		RunE: func(*cobra.Command, []string) error {
			return a.PrintResult(map[string]any{"version": 1, "build": a.Build}, func(w io.Writer) { fmt.Fprintln(w, "cortex "+a.Build) })
		},
	}
}

// replayInto writes a read model as it was into a new file.
func (a *commands) replayInto(cmd *cobra.Command, name, until, into string) error {
	if until == "" || into == "" {
		return &events.Error{Op: "cli.replay", Kind: events.ErrUsage, Err: errors.New("--until and --into go together"), Hint: "cortex replay history --until 2026-11-23 --into history.db"}
	}
	i, err := app.ParseInstant(until)
	if err != nil {
		return err
	}
	at, err := a.ReplayInto(cmd.Context(), name, i, into)
	if err != nil {
		return err
	}
	return a.PrintResult(map[string]any{"version": 1, "projection": name, "position": at.Position, "file": into}, func(w io.Writer) {
		fmt.Fprintf(w, "%s: as of event %d, in %s\n", name, at.Position, into)
	})
}
