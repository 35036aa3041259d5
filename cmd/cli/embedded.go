package cli

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"os"
	"syscall"

	"cortex/cmd/client"
	"cortex/cmd/config"
	"cortex/cmd/parts"
	"cortex/consumers/policy"
	"cortex/events"
)

// Engine is what only a program with a broker can do.
type Engine struct {
	// Run is the daemon's inside: it runs until ctx ends, the daemon is told to stop
	// or nobody has needed it for a while, and tells ready when it can be asked, or
	// why not.
	Run func(ctx context.Context, s config.Settings, build string, logger *slog.Logger, ready func(error)) error
	// OpenLog looks at the log of a state directory as it lies there, or with the servers
	// of the settings, without a daemon.
	OpenLog func(s config.Settings, state string) (LogFiles, error)
	// LockState keeps every daemon away from a state directory until release is called.
	LockState func(state string) (release func(), err error)
	// Policy judges plans, and PolicyCases the plans in a text.
	Policy      func(s config.Settings) Policy
	PolicyCases func(text []byte, j policy.Evaluator) ([]policy.TestResult, error)
}

// LogFiles are whose log it is, and its records from the first; the first fault
// ends them as ErrCorrupt.
type LogFiles interface {
	Host() events.HostID
	ManifestPosition() events.Position // at least so many are there
	Records() iter.Seq2[events.Record, error]
}

// engineName is the program that has an engine where the command has none: the
// command then starts faster.
const engineName = "cortexd"

// BecomeEngine replaces this process by the program that has an engine, with the
// same arguments. It returns only when it cannot.
func (a *App) BecomeEngine() error {
	path, err := parts.FindProgram(engineName)
	if err != nil {
		return &events.Error{Op: "cli.becomeEngine", Kind: events.ErrNotFound, Subject: engineName, Err: errors.New("the program is not installed beside cortex, and this one has no engine"), Hint: "install it, or build cortex whole: go build ./cmd/cortex"}
	}
	err = syscall.Exec(path, append([]string{path}, a.Args...), os.Environ())
	return &events.Error{Op: "cli.becomeEngine", Kind: events.ErrUnavailable, Subject: path, Err: err}
}

// embeddedDaemon is a daemon inside this process.
type embeddedDaemon struct {
	cancel context.CancelFunc
	ended  chan error
}

// startEmbedded runs the daemon's inside in this process, behind the same socket;
// other commands find it there as long as this one lives.
func (a *App) startEmbedded(ctx context.Context) error {
	if a.Engine.Run == nil {
		return a.BecomeEngine()
	}
	if err := client.CreateStateDir(a.Settings); err != nil {
		return err
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	in := &embeddedDaemon{cancel: cancel, ended: make(chan error, 1)}
	ready := make(chan error, 1)
	s := a.Settings
	s.IdleTimeout = 0
	go func() {
		in.ended <- a.Engine.Run(own, s, Build(), slog.New(slog.DiscardHandler), func(err error) { ready <- err })
	}()
	if err := <-ready; err != nil {
		cancel()
		<-in.ended
		return err
	}
	a.inner = in
	return nil
}

// stop lets it leave once nothing runs.
func (d *embeddedDaemon) stop() error {
	d.cancel()
	return <-d.ended
}
