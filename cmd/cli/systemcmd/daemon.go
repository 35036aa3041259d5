package systemcmd

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/logs"
	"cortex/cmd/output"
)

func newDaemon(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "daemon", Short: "Start and stop the daemon", Args: cmdutil.Args(0, 0),
		Long: `Start and stop the daemon. Commands start it when they need it. It exits when it was idle for
CORTEX_IDLE_TIMEOUT.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDaemonRun(a), newDaemonStart(a), newDaemonStop(a), &cobra.Command{
		Use: "status", Short: "Show whether the daemon runs", Args: cmdutil.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.status(cmd) },
	})
	return cmd
}

func newDaemonRun(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "run", Short: "Run the daemon in the foreground", Args: cmdutil.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.RunDaemon(cmd.Context(), slog.New(logs.NewHandler(a.Stderr)))
		},
	}
}

func newDaemonStart(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "start", Short: "Start the daemon in the background", Args: cmdutil.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			pid, err := a.StartDaemon(cmd.Context())
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "pid": pid}, func(w io.Writer) { fmt.Fprintf(w, "daemon running as process %d\n", pid) })
		},
	}
}

func newDaemonStop(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "stop", Short: "Stop the daemon when no transaction runs", Args: cmdutil.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			wasRunning, err := a.StopDaemon(cmd.Context())
			switch {
			case err != nil:
				return err
			case wasRunning:
				a.Infof("daemon stopped")
			default:
				a.Infof("no daemon is running")
			}
			return nil
		},
	}
}

func newStatus(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the status of the daemon and its log", Args: cmdutil.Args(0, 0),
		Long: "Show the status of the daemon, its log and its read models, and failed events (dead letters)\nwith the command that retries each.",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.status(cmd) },
	}
}

func (a *commands) status(cmd *cobra.Command) error {
	s, err := a.Status(cmd.Context())
	if err != nil {
		return err
	}
	return a.PrintResult(s, func(w io.Writer) { output.Status(w, s) })
}

func newVersion(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cmdutil.Args(0, 0),
		PersistentPreRunE: cmdutil.WithoutSettings,
		RunE: func(*cobra.Command, []string) error {
			return a.PrintResult(map[string]any{"version": 1, "build": a.Build}, func(w io.Writer) { fmt.Fprintln(w, "cortex "+a.Build) })
		},
	}
}
