package systemcmd

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/iostreams"
	"cortex/cmd/parts"
	"cortex/cmd/privexec"
	"cortex/cmd/systemd"
	"cortex/consumers/machine/apt"
	"cortex/consumers/machine/blobstore"
	"cortex/consumers/machine/confstate"
	"cortex/events"
)

// workerIdle is after what time a worker leaves that has nothing to do.
const workerIdle = time.Minute

// newWorker is what the unit cortex-worker runs; see package worker.
func newWorker(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "worker", Short: "Start programs for the daemon, under systemd", Hidden: true, Args: cmdutil.CheckArgs(cobra.NoArgs),
		PersistentPreRunE: cmdutil.WithoutSettings,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := systemd.Listener(a.Env, os.Getpid())
			if err != nil {
				return err
			}
			if l == nil {
				return &events.Error{Op: "cli.worker", Kind: events.ErrUsage, Subject: "worker", Err: errors.New("systemd starts it, on its socket")}
			}
			return privexec.Serve(cmd.Context(), l, workerIdle, slog.New(slog.NewTextHandler(a.Stderr, nil)))
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use: "restore FILE", Short: "Carry out a restore step", Hidden: true, Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := a.LoadSettings()
			if err == nil {
				err = a.restore(cmd, args[0])
			}
			if err != nil { // for the daemon, not for a person
				_ = json.NewEncoder(a.Stdout).Encode(events.FailureOf(err))
				return iostreams.ExitCode(events.KindOf(err).ExitCode())
			}
			return nil
		},
	})
	cmd.AddCommand(&cobra.Command{
		Use: "limits FILE", Short: "Apply or revert limits", Hidden: true, Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := a.LoadSettings()
			if err == nil {
				err = a.changeLimits(cmd, args[0])
			}
			if err != nil { // for the daemon, not for a person
				_ = json.NewEncoder(a.Stdout).Encode(events.FailureOf(err))
				return iostreams.ExitCode(events.KindOf(err).ExitCode())
			}
			return nil
		},
	})
	return cmd
}

// changeLimits changes limits for the daemon, and writes what was applied.
func (a *commands) changeLimits(cmd *cobra.Command, path string) error {
	if err := a.RequireRoot("changing limits"); err != nil {
		return err
	}
	job, err := privexec.ReadLimitsJob(path)
	if err != nil {
		return err
	}
	applied, err := job.Run(cmd.Context(), parts.LimitsMachine(a.Settings))
	if err != nil {
		return err
	}
	return json.NewEncoder(a.Stdout).Encode(applied)
}

// restore does what the daemon may not do itself.
func (a *commands) restore(cmd *cobra.Command, path string) error {
	if err := a.RequireRoot("restoring"); err != nil {
		return err
	}
	r, err := privexec.ReadRestoreJob(path)
	if err != nil {
		return err
	}
	v, err := blobstore.Open(a.Settings.BlobStoreDir())
	if err != nil {
		return err
	}
	machine := apt.New(apt.Config{Root: a.Settings.Root, WorkDir: a.Settings.WorkDir(), PlaceDeb: v.PlaceDeb, FindDeb: v.Deb})
	k := confstate.New(a.Settings.Root, v, machine)
	base, err := k.Load(r.BaseSnapshot)
	if err != nil {
		return err
	}
	return k.Restore(cmd.Context(), r.Step, base)
}
