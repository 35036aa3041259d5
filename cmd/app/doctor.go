package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cortex/cmd/api"
	"cortex/cmd/client"
	"cortex/cmd/doctor"
	"cortex/cmd/programs"

	"cortex/cmd/units"
	"cortex/consumers/machine/apt"
	"cortex/events"
	"cortex/projections/history"
)

// Diagnose checks everything that cortex needs. It changes nothing and starts no daemon.
func (s *Service) Diagnose(ctx context.Context) []doctor.Finding {
	set := s.Settings
	m := apt.New(apt.Config{Root: set.Root, WorkDir: set.WorkDir()})
	c := client.New(set, s.Build, nil) // it starts no daemon
	return doctor.RunChecks(ctx, []doctor.Check{
		{Name: "state", Run: doctor.CheckStateDir(set.StateDir, s.UID, set.IsSystem())},
		{Name: "daemon", Run: func(ctx context.Context) []doctor.Finding { return s.checkDaemon(ctx, c) }},
		{Name: "read models", Run: s.checkReadModels},
		{Name: "disk", Run: doctor.CheckFreeSpace(set.StateDir, set.Root, set.Root+"/var/cache/apt")},
		{Name: "clock", Run: s.checkClock},
		{Name: "apt", Run: doctor.CheckApt(m, set.Root, time.Now())},
		{Name: "hooks", Run: func(context.Context) []doctor.Finding { return s.checkHooks() }},
		{Name: "models", Run: func(ctx context.Context) []doctor.Finding { return s.checkProviders(ctx, c) }},
	})
}

// checkDaemon checks the running daemon, or whether one can be started.
func (s *Service) checkDaemon(ctx context.Context, c *client.Client) []doctor.Finding {
	status, err := c.Status(ctx)
	switch {
	case errors.Is(err, events.ErrUnavailable):
		if s.Engine.Run == nil {
			if _, err := programs.Find(EngineName); err != nil {
				return doctor.ProblemFinding(err.Error(), "install cortex again; the package contains "+EngineName)
			}
		}
		return doctor.OKFinding("not running; it starts when a command needs it")
	case err != nil:
		return doctor.ProblemFinding(err.Error(), "cortex daemon stop; then see: cortex logs --errors")
	}
	return daemonFindings(status)
}

func daemonFindings(s api.DaemonStatus) []doctor.Finding {
	var out []doctor.Finding
	if s.Writable {
		out = doctor.OKFinding(fmt.Sprintf("process %d, %s", s.PID, units.Count(int(s.Head), "event")))
	} else {
		out = doctor.ProblemFinding("the log cannot be written: "+s.Problem, "cortex logs --errors; to restore a damaged log: cortex backup restore")
	}
	for _, p := range s.Projections {
		if p.Problem != "" {
			out = append(out, doctor.ProblemFinding("read model "+p.Name+" is not updated: "+p.Problem, "cortex replay "+p.Name)...)
		}
	}
	for _, p := range s.DeadLetters {
		out = append(out, doctor.ProblemFinding(fmt.Sprintf("failed event (dead letter) of the %s: %s", p.Handler, p.Failure.AsError()), "cortex events retry "+string(p.ID))...)
	}
	return out
}

// checkReadModels checks whether the history can be read without a daemon.
func (s *Service) checkReadModels(ctx context.Context) []doctor.Finding {
	if !s.HasLog() {
		return doctor.OKFinding("none yet")
	}
	if _, err := s.newestRequest(ctx); err != nil {
		return doctor.ProblemFinding("the history cannot be read: "+err.Error(), "cortex replay history")
	}
	return doctor.OKFinding("the history can be read without the daemon")
}

func (s *Service) checkClock(ctx context.Context) []doctor.Finding {
	newest, _ := s.newestRequest(ctx) // checkReadModels reports the error
	return doctor.CheckClock(time.Now(), newest)
}

// newestRequest returns the time of the newest transaction, zero if there is none.
func (s *Service) newestRequest(ctx context.Context) (newest time.Time, err error) {
	err = s.QueryHistory(ctx, func(r *history.Reader) error {
		list, err := r.List(ctx, history.Filter{Limit: 1})
		for _, t := range list {
			newest = t.RequestedAt
		}
		return err
	})
	return newest, err
}

func (s *Service) checkHooks() []doctor.Finding {
	installed, current := 0, 0
	files := s.HooksStatus()
	for _, f := range files {
		if f.Installed {
			installed++
		}
		if f.Current {
			current++
		}
	}
	switch {
	case installed == 0:
		return doctor.NoteFinding("not installed: changes made with apt are detected later, as drift, and may not be undone exactly", "cortex hooks install")
	case installed < len(files):
		return doctor.ProblemFinding("only some are installed", "cortex hooks install")
	case current < len(files):
		return doctor.NoteFinding("they call another program than this one", "cortex hooks install")
	}
	return doctor.OKFinding("apt and dpkg report their changes")
}

// checkProviders checks the configured model providers; with a running daemon also whether
// they answer.
func (s *Service) checkProviders(ctx context.Context, c *client.Client) []doctor.Finding {
	all, err := s.Providers()
	if err != nil {
		return doctor.ProblemFinding(err.Error(), "cortex config check")
	}
	used := 0
	for _, p := range all {
		if p.Used {
			used++
		}
	}
	if used == 0 {
		return doctor.OKFinding("none configured: words are looked up in the package lists")
	}
	m, err := c.ModelProvidersStatus(ctx, true)
	switch {
	case errors.Is(err, events.ErrUnavailable):
		return doctor.OKFinding(units.Count(used, "provider") + " configured; to test: cortex llm health")
	case err != nil:
		return doctor.ProblemFinding(err.Error(), "cortex llm health")
	}
	var out []doctor.Finding
	for _, p := range m.Probes {
		if p.Error != "" {
			out = append(out, doctor.NoteFinding(p.Name+" does not answer: "+p.Error, "cortex llm providers")...)
			continue
		}
		out = append(out, doctor.OKFinding(p.Name+" answers")...)
	}
	return out
}
