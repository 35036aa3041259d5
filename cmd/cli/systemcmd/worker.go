package systemcmd

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/iostreams"
	"cortex/cmd/privexec"
	"cortex/cmd/systemd"
	"cortex/events"
)

// workerIdleTimeout is when an idle worker exits.
const workerIdleTimeout = time.Minute

// newWorker is the command of the unit cortex-worker; see package privexec.
func newWorker(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "worker", Short: "Start programs for the daemon under systemd", Hidden: true, Args: cmdutil.Args(0, 0),
		PersistentPreRunE: cmdutil.WithoutSettings,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := systemd.Listener(a.Env, os.Getpid())
			if err != nil {
				return err
			}
			if l == nil {
				return &events.Error{
					Op: "cli", Kind: events.ErrUsage, Subject: "worker", Err: errors.New("no socket was passed; only systemd can start the worker"),
					Hint: "run: systemctl start cortex-worker.socket",
				}
			}
			return privexec.Serve(cmd.Context(), l, workerIdleTimeout, slog.New(slog.NewTextHandler(a.Stderr, nil)))
		},
	}
	cmd.AddCommand(
		newJob(a, "restore FILE", "Carry out a restore step", a.RunRestoreJob),
		newJob(a, "limits FILE", "Apply or revert limits", func(ctx context.Context, file string) error {
			applied, err := a.RunLimitsJob(ctx, file)
			if err != nil {
				return err
			}
			return json.NewEncoder(a.Stdout).Encode(applied)
		}),
	)
	return cmd
}

// newJob returns a hidden command that carries out a job file of the daemon. The daemon reads
// its error.
func newJob(a *commands, use, short string, run func(ctx context.Context, file string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Hidden: true, Args: cmdutil.Args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := a.LoadSettings()
			if err == nil {
				err = run(cmd.Context(), args[0])
			}
			if err != nil {
				_ = json.NewEncoder(a.Stdout).Encode(events.FailureOf(err))
				return iostreams.ExitCode(events.KindOf(err).ExitCode())
			}
			return nil
		},
	}
}
