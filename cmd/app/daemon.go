package app

import (
	"context"
	"errors"
	"log/slog"

	"cortex/cmd/adapters"
	"cortex/cmd/api"
	"cortex/cmd/client"

	"cortex/consumers/machine/apt"
	"cortex/consumers/machine/blobstore"
	"cortex/consumers/machine/confstate"
	"cortex/events"

	"cortex/cmd/privexec"
)

// RunDaemon runs the daemon in this process until ctx ends, a stop is requested, or it was
// idle for the configured time. It needs the engine.
func (s *Service) RunDaemon(ctx context.Context, logger *slog.Logger) error {
	if err := client.CreateStateDir(s.Settings); err != nil {
		return err
	}
	ready := client.ReadyNotifier(s.Env(client.ReadyFDEnv))
	if s.Engine.Run == nil {
		err := s.BecomeEngine()
		ready(err)
		return err
	}
	return s.Engine.Run(ctx, s.Settings, s.Build, logger, ready)
}

// StartDaemon starts the daemon unless it runs, and returns its process id.
func (s *Service) StartDaemon(ctx context.Context) (pid int, err error) {
	_, p, err := s.Connect(ctx)
	return p.PID, err
}

// StopDaemon stops the daemon once no transaction runs. It reports whether one was running.
func (s *Service) StopDaemon(ctx context.Context) (wasRunning bool, err error) {
	err = s.Dial().Stop(ctx)
	if errors.Is(err, events.ErrUnavailable) {
		return false, nil
	}
	return true, err
}

// InstallationStatus is the state of this installation. Its JSON form is 'cortex status --json'.
type InstallationStatus struct {
	Version    int               `json:"version"`
	Running    bool              `json:"daemon_runs"`
	StateDir   string            `json:"state"`
	Socket     string            `json:"socket"`
	HasHistory bool              `json:"has_history"`
	Daemon     *api.DaemonStatus `json:"daemon,omitempty"` // nil: it does not run
}

// Status returns the state of this installation. It starts no daemon.
func (s *Service) Status(ctx context.Context) (InstallationStatus, error) {
	out := InstallationStatus{Version: 1, StateDir: s.Settings.StateDir, Socket: s.Settings.Socket, HasHistory: s.HasLog()}
	d, err := s.Dial().Status(ctx)
	switch {
	case err == nil:
		out.Running, out.Daemon = true, &d
	case !errors.Is(err, events.ErrUnavailable):
		return out, err
	}
	return out, nil
}

// Replay rebuilds a read model from the log, or all if name is empty. With verify it
// compares a rebuild with the live read model instead.
func (s *Service) Replay(ctx context.Context, name string, verify bool) ([]api.ReplayResult, error) {
	if !s.HasLog() {
		return nil, s.NoHistory()
	}
	c, _, err := s.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return c.Replay(ctx, name, verify)
}

// RunRestoreJob carries out the restore step in a job file, which the daemon wrote because
// it may not write outside /var. It needs root.
func (s *Service) RunRestoreJob(ctx context.Context, path string) error {
	if err := s.RequireRoot("restoring files"); err != nil {
		return err
	}
	job, err := privexec.ReadRestoreJob(path)
	if err != nil {
		return err
	}
	blobs, err := blobstore.Open(s.Settings.BlobStoreDir())
	if err != nil {
		return err
	}
	machine := apt.New(apt.Config{Root: s.Settings.Root, WorkDir: s.Settings.WorkDir(), PlaceDeb: blobs.PlaceDeb, FindDeb: blobs.Deb})
	state := confstate.New(s.Settings.Root, blobs, machine)
	base, err := state.Load(job.BaseSnapshot)
	if err != nil {
		return err
	}
	return state.Restore(ctx, job.Step, base)
}

// RunLimitsJob applies or reverts the limits in a job file of the daemon, and returns what was
// applied. It needs root.
func (s *Service) RunLimitsJob(ctx context.Context, path string) (events.LimitsApplied, error) {
	if err := s.RequireRoot("changing limits"); err != nil {
		return events.LimitsApplied{}, err
	}
	job, err := privexec.ReadLimitsJob(path)
	if err != nil {
		return events.LimitsApplied{}, err
	}
	return job.Run(ctx, adapters.LimitsMachine(s.Settings))
}

// EachEnding calls visit for every transaction that ends from now on, except those that
// were refused or cancelled, until ctx ends or visit returns false.
func (s *Service) EachEnding(ctx context.Context, visit func(*events.Transaction) bool) error {
	c, _, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	status, err := c.Status(ctx)
	if err != nil {
		return err
	}
	for r, err := range Facts(ctx, c, client.StreamOptions{After: status.Head, Kind: "transaction.*", Follow: true}) {
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		switch r.Kind {
		case events.KindSucceeded, events.KindFailed, events.KindInterrupted, events.KindDenied:
		default:
			continue
		}
		t, err := foldTransaction(ctx, c, r.Transaction)
		if err != nil || !visit(t) {
			return err
		}
	}
	return nil
}

// foldTransaction builds a transaction from its events.
func foldTransaction(ctx context.Context, c *client.Client, id events.TransactionID) (*events.Transaction, error) {
	t := &events.Transaction{}
	for r, err := range Facts(ctx, c, client.StreamOptions{Transaction: id}) {
		if err != nil {
			return nil, err
		}
		if r.Kind == events.KindDeadLettered {
			continue
		}
		if err := t.Apply(r); err != nil {
			return nil, err
		}
	}
	return t, nil
}
