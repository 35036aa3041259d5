package systemcmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/api"
	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/iostreams"
	"cortex/cmd/client"
	"cortex/cmd/doctor"
	"cortex/cmd/output"
	"cortex/cmd/programs"
	"cortex/consumers/machine/apt"
	"cortex/events"
	"cortex/projections/history"
)

func newDoctor(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Look whether everything is well, and say what mends it", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `Look whether everything is well: the state directory, the daemon and its log, the
read models, room on disks, the clock, apt and dpkg, the hooks, and the models'
providers where some are set. Nothing is changed and no daemon is started. Each
finding that is not ok says what mends it; a problem makes the exit code 1.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := doctor.RunChecks(cmd.Context(), a.checks())
			err := a.PrintResult(map[string]any{"version": 1, "well": doctor.Healthy(list), "findings": list}, func(w io.Writer) { output.Findings(w, list) })
			if err == nil && !doctor.Healthy(list) {
				return iostreams.ExitCode(1)
			}
			return err
		},
	}
}

func (a *commands) checks() []doctor.Check {
	s := a.Settings
	m := apt.New(apt.Config{Root: s.Root, WorkDir: s.WorkDir()})
	c := client.New(s, a.Build, nil) // starts nothing
	fixed := func(list []doctor.Finding) func(context.Context) []doctor.Finding {
		return func(context.Context) []doctor.Finding { return list }
	}
	return []doctor.Check{
		{Name: "state", Run: doctor.CheckStateDir(s.StateDir, a.UID, s.IsSystem())},
		{Name: "daemon", Run: func(ctx context.Context) []doctor.Finding { return a.daemonIs(ctx, c) }},
		{Name: "read models", Run: a.modelsAre},
		{Name: "disk", Run: doctor.CheckFreeSpace(s.StateDir, s.Root, s.Root+"/var/cache/apt")},
		{Name: "clock", Run: a.clockIs},
		{Name: "apt", Run: doctor.CheckApt(m, s.Root, time.Now())},
		{Name: "hooks", Run: fixed(a.hooksAre())},
		{Name: "models", Run: func(ctx context.Context) []doctor.Finding { return a.providersAre(ctx, c) }},
	}
}

// daemonIs looks at a daemon that runs, and otherwise whether one could.
func (a *commands) daemonIs(ctx context.Context, c *client.Client) []doctor.Finding {
	s, err := c.Status(ctx)
	switch {
	case errors.Is(err, events.ErrUnavailable):
		if a.Engine.Run == nil {
			if _, err := programs.Find(app.EngineName); err != nil {
				return doctor.ProblemFinding(err.Error(), "install cortex again: it comes with "+app.EngineName)
			}
		}
		return doctor.OKFinding("not running; it starts when a command needs it")
	case err != nil:
		return doctor.ProblemFinding(err.Error(), "cortex daemon stop, and see 'cortex logs --errors'")
	}
	return daemonFindings(s)
}

func daemonFindings(s api.DaemonStatus) []doctor.Finding {
	var out []doctor.Finding
	if s.Writable {
		out = doctor.OKFinding(fmt.Sprintf("process %d, %s", s.PID, output.Count(int(s.Head), "event")))
	} else {
		out = doctor.ProblemFinding("the log cannot be written: "+s.Problem, "cortex logs --errors tells more; a damaged log is restored by 'cortex backup restore'")
	}
	for _, p := range s.Projections {
		if p.Problem != "" {
			out = append(out, doctor.ProblemFinding("read model "+p.Name+" stands still: "+p.Problem, "cortex replay "+p.Name)...)
		}
	}
	for _, p := range s.DeadLetters {
		out = append(out, doctor.ProblemFinding(fmt.Sprintf("%s gave up: %s", p.Handler, p.Failure.AsError()), "cortex events retry "+string(p.ID))...)
	}
	return out
}

// modelsAre looks whether the history can be read without a daemon.
func (a *commands) modelsAre(ctx context.Context) []doctor.Finding {
	if !a.HasLog() {
		return doctor.OKFinding("none yet")
	}
	err := a.QueryHistory(ctx, func(r *history.Reader) error {
		_, err := r.List(ctx, history.Filter{Limit: 1})
		return err
	})
	if err != nil {
		return doctor.ProblemFinding("the history cannot be read: "+err.Error(), "cortex replay history")
	}
	return doctor.OKFinding("the history can be read without the daemon")
}

func (a *commands) clockIs(ctx context.Context) []doctor.Finding {
	var newest time.Time
	_ = a.QueryHistory(ctx, func(r *history.Reader) error {
		list, err := r.List(ctx, history.Filter{Limit: 1})
		for _, t := range list {
			newest = t.RequestedAt
		}
		return err
	})
	return doctor.CheckClock(time.Now(), newest)
}

// hooksAre looks at the files that make apt and dpkg call us.
func (a *commands) hooksAre() []doctor.Finding {
	ours, current := 0, 0
	binary, _ := os.Executable()
	want := dropIns(binary)
	for _, d := range want {
		b, err := os.ReadFile(a.hookFile(d))
		if err != nil || !bytes.Contains(b, []byte(hookMark)) {
			continue
		}
		ours++
		if string(b) == d.content {
			current++
		}
	}
	switch {
	case ours == 0:
		return doctor.NoteFinding("not installed: what apt does by hand is found later, as drift, and may not be undone exactly", "cortex hooks install")
	case ours < len(want):
		return doctor.ProblemFinding("only some are installed", "cortex hooks install")
	case current < len(want):
		return doctor.NoteFinding("they call another program than this one", "cortex hooks install")
	}
	return doctor.OKFinding("apt and dpkg tell what they change")
}

// providersAre looks at the models that are set, and whether they answer when a
// daemon runs that can ask.
func (a *commands) providersAre(ctx context.Context, c *client.Client) []doctor.Finding {
	all, err := a.Settings.ModelProviders(a.Env)
	if err != nil {
		return doctor.ProblemFinding(err.Error(), "cortex config check")
	}
	used := 0
	var out []doctor.Finding
	for _, p := range all {
		v := a.Provider(p)
		if v.Used {
			used++
		}
	}
	if used == 0 {
		return doctor.OKFinding("none is set: words are looked up in the machine's own package lists")
	}
	m, err := c.ModelProvidersStatus(ctx, true)
	if errors.Is(err, events.ErrUnavailable) {
		return doctor.OKFinding(output.Count(used, "provider") + " set; 'cortex llm health' asks them")
	}
	if err != nil {
		return doctor.ProblemFinding(err.Error(), "cortex llm health")
	}
	for _, p := range m.Probes {
		if p.Error != "" {
			out = append(out, doctor.NoteFinding(p.Name+" does not answer: "+p.Error, "cortex llm providers")...)
			continue
		}
		out = append(out, doctor.OKFinding(p.Name+" answers")...)
	}
	return out
}
