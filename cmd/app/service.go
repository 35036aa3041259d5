// Package app holds the use cases of Cortex: what a front end can do, without flags, text
// or a terminal.
//
// A front end – the command line, the API, an agents' server, a web page – translates its
// input into a call of [Service], and the result into its output. Package app promises
// that it never prints, never asks and never reads a terminal: it returns typed values and
// [events.Error], reports notes through [Service.Note], and asks through an interface that
// the front end implements.
package app

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"cortex/cmd/api"
	"cortex/cmd/client"
	"cortex/cmd/config"
	"cortex/cmd/ids"
	"cortex/cmd/programs"
	"cortex/consumers/policy"
	"cortex/events"
	"cortex/producers/intent"
)

// Service runs the use cases for one user with one configuration. It is not safe for
// concurrent use.
type Service struct {
	Settings config.Settings
	Env      func(string) string
	UID      int
	Args     []string // the arguments of this program, for hints and for the record
	Build    string   // the version of this build
	Engine   Engine   // empty in a program without the broker
	Embedded bool     // run the daemon in this process

	// Note receives a message for the user that is not part of a result.
	Note func(message string)

	client       *client.Client
	embedded     *embeddedDaemon
	versionNoted bool // a daemon of another version was noted
}

// Engine holds the functions that only a program with the broker has. Where it is empty,
// [Service.BecomeEngine] replaces the process by such a program.
type Engine struct {
	// Run runs the daemon until ctx ends, a stop is requested, or it is idle for the
	// configured time. It calls ready once: with nil when the daemon accepts connections,
	// otherwise with the reason why it does not start.
	Run func(ctx context.Context, s config.Settings, build string, logger *slog.Logger, ready func(error)) error
	// OpenLog opens the log of a state directory read-only, without a daemon.
	OpenLog func(s config.Settings, state string) (LogFiles, error)
	// LockState keeps every daemon away from a state directory until release is called.
	LockState func(state string) (release func(), err error)
	// Policy returns the evaluator of this machine's policy.
	Policy func(s config.Settings) Policy
	// PolicyCases runs the test cases in a text against a policy.
	PolicyCases func(text []byte, j policy.Evaluator) ([]policy.TestResult, error)
}

// LogFiles is the log of a state directory, read-only.
type LogFiles interface {
	Host() events.HostID
	// ManifestPosition returns the position that the log reaches at least.
	ManifestPosition() events.Position
	// Records yields every record from the first. The first damaged record ends it with
	// ErrCorrupt.
	Records() iter.Seq2[events.Record, error]
}

// Policy evaluates plans and lists its rules.
type Policy interface {
	policy.Evaluator
	List() ([]policy.Rule, string, error)
}

// EngineName is the program with the broker. The command without it starts faster.
const EngineName = "cortexd"

// LoadSettings reads the settings from files and the environment.
func (s *Service) LoadSettings() error {
	settings, err := config.Load(s.ConfigSources())
	s.Settings = settings
	return err
}

// ConfigSources returns where the settings come from.
func (s *Service) ConfigSources() config.Sources {
	return config.Sources{Env: s.Env, UID: s.UID, SystemFile: config.SystemFile}
}

// Close ends the connection to the daemon, and an embedded daemon once it runs nothing.
func (s *Service) Close() error {
	if s.client != nil {
		s.client.Close()
	}
	if s.embedded != nil {
		return s.embedded.stop()
	}
	return nil
}

// Connect returns a client of a daemon that answers, and starts one if needed. An
// unprivileged user plans with the system's daemon while it runs, otherwise with a daemon
// of their own.
func (s *Service) Connect(ctx context.Context) (*client.Client, api.Ping, error) {
	c := s.Dial()
	if s.UID != 0 && s.Settings.IsSystem() {
		if _, err := c.Ping(ctx); err != nil {
			c.Close()
			s.Settings, s.client = s.Settings.ForUser(s.Env), nil
			c = s.Dial()
		}
	}
	p, err := c.EnsureRunning(ctx)
	for _, note := range p.StartupNotes {
		s.Note("note: " + note)
	}
	if err == nil && p.Build != s.Build && !s.versionNoted {
		s.versionNoted = true
		s.Note(fmt.Sprintf("note: the daemon is version %s, this command is version %s; to restart the daemon: cortex daemon stop", p.Build, s.Build))
	}
	return c, p, err
}

// Dial returns the client without checking that a daemon answers.
func (s *Service) Dial() *client.Client {
	if s.client == nil {
		start := client.NewDaemonStarter(s.Settings)
		if s.Embedded {
			start = s.startEmbedded
		}
		s.client = client.New(s.Settings, s.Build, start)
		s.client.OnUnresponsive = func(d time.Duration) {
			s.Note("the daemon accepts connections but does not answer; waiting up to " + d.String())
		}
	}
	return s.client
}

// Producer returns the producer that files requests with the daemon.
func (s *Service) Producer(c *client.Client, host events.HostID) intent.Producer {
	return intent.Producer{Host: host, Submitter: c, Now: time.Now, NewID: ids.New}
}

// HasLog reports whether the state directory holds a log.
func (s *Service) HasLog() bool {
	_, err := os.Stat(filepath.Join(s.Settings.StateDir, "manifest.json"))
	return err == nil
}

// NoHistory returns the error for a state directory without a log.
func (s *Service) NoHistory() error {
	return &events.Error{
		Op: "app", Kind: events.ErrNotFound, Subject: s.Settings.StateDir, Err: errors.New("there is no history yet"),
		Hint: "the first change starts one, for example: cortex install NAME",
	}
}

// RequireRoot returns ErrConfirmation unless the user is root. what names the action.
func (s *Service) RequireRoot(what string) error {
	if s.UID == 0 {
		return nil
	}
	return &events.Error{Op: "app", Kind: events.ErrConfirmation, Err: errors.New(what + " needs root"), Hint: s.sudoHint()}
}

// sudoHint returns the hint to run the same command as root.
func (s *Service) sudoHint() string { return "run: sudo cortex " + strings.Join(s.Args, " ") }

// BecomeEngine replaces this process by the program with the broker, with the same
// arguments. It returns only if that fails.
func (s *Service) BecomeEngine() error {
	path, err := programs.Find(EngineName)
	if err != nil {
		return &events.Error{
			Op: "app.BecomeEngine", Kind: events.ErrNotFound, Subject: EngineName, Err: errors.New("the program is not installed beside cortex or in " + programs.LibexecDir),
			Hint: "install it, or build cortex with the broker: go build ./cmd/cortex",
		}
	}
	err = syscall.Exec(path, append([]string{path}, s.Args...), os.Environ())
	return &events.Error{Op: "app.BecomeEngine", Kind: events.ErrUnavailable, Subject: path, Err: err}
}

// embeddedDaemon is a daemon inside this process.
type embeddedDaemon struct {
	cancel context.CancelFunc
	ended  chan error
}

// startEmbedded runs the daemon in this process, on the same socket. Other commands can
// use it as long as this process lives.
func (s *Service) startEmbedded(ctx context.Context) error {
	if s.Engine.Run == nil {
		return s.BecomeEngine()
	}
	if err := client.CreateStateDir(s.Settings); err != nil {
		return err
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d := &embeddedDaemon{cancel: cancel, ended: make(chan error, 1)}
	ready := make(chan error, 1)
	settings := s.Settings
	settings.IdleTimeout = 0
	go func() {
		d.ended <- s.Engine.Run(own, settings, s.Build, slog.New(slog.DiscardHandler), func(err error) { ready <- err })
	}()
	if err := <-ready; err != nil {
		cancel()
		<-d.ended
		return err
	}
	s.embedded = d
	return nil
}

// stop ends the daemon once it runs no transaction.
func (d *embeddedDaemon) stop() error {
	d.cancel()
	return <-d.ended
}

// PathExists reports whether there is a file at path that this user can see.
func PathExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
