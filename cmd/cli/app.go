package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"cortex/cmd/api"
	"cortex/cmd/client"
	"cortex/cmd/config"
	"cortex/cmd/output"
	"cortex/cmd/parts"
	"cortex/events"
	"cortex/producers/intent"
)

// App is the outside world of a command.
type App struct {
	Args           []string
	Env            func(string) string
	UID            int
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Engine is empty in a program without one, which then becomes the one that has it.
	Engine Engine

	JSON, Embedded, Quiet bool
	Settings              config.Settings
	client                *client.Client
	inner                 *embeddedDaemon
	lines                 *bufio.Reader // of Stdin: one, for all questions
}

// Main runs one command and returns its exit code.
func Main(ctx context.Context, a App) int {
	root := newRoot(&a)
	root.SetArgs(a.Args)
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	err := root.ExecuteContext(ctx)
	if a.client != nil {
		a.client.Close()
	}
	if a.inner != nil {
		err = errors.Join(err, a.inner.stop())
	}
	return a.report(ctx, err)
}

// ExitCode ends a command with a code and nothing more to say.
type ExitCode int

func (q ExitCode) Error() string { return fmt.Sprintf("exit %d", int(q)) }

// report tells an error and gives the exit code.
func (a *App) report(ctx context.Context, err error) int {
	var q ExitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &q):
		return int(q)
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		err = &events.Error{Op: "cli", Kind: events.ErrInterrupted, Err: errors.New("interrupted")}
	}
	if a.JSON {
		_ = json.NewEncoder(a.Stdout).Encode(map[string]any{"version": 1, "type": "error", "error": events.FailureOf(err)})
	} else {
		fmt.Fprintln(a.Stderr, "cortex: "+strings.ReplaceAll(err.Error(), "\n", "\ncortex: "))
		if hint := events.HintOf(err); hint != "" {
			fmt.Fprintln(a.Stderr, "hint: "+hint)
		}
	}
	return events.KindOf(err).ExitCode()
}

// PrintResult prints the answer of a command that reads: v as JSON, or what text
// writes.
func (a *App) PrintResult(v any, text func(io.Writer)) error {
	if !a.JSON {
		w := bufio.NewWriter(a.Stdout)
		text(w)
		return w.Flush()
	}
	e := json.NewEncoder(a.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// PrintLine prints one line of a command that changes something, with --json.
func (a *App) PrintLine(kind, field string, v any) {
	if a.JSON {
		_ = json.NewEncoder(a.Stdout).Encode(map[string]any{"version": 1, "type": kind, field: v})
	}
}

// LoadSettings loads the settings; it runs before every command.
func (a *App) LoadSettings(*cobra.Command, []string) error {
	s, err := config.Load(a.ConfigSources())
	a.Settings = s
	return err
}

// ConfigSources are where this command's settings come from.
func (a *App) ConfigSources() config.Sources {
	return config.Sources{Env: a.Env, UID: a.UID, SystemFile: config.SystemFile}
}

// WithoutSettings replaces prepare for commands that work without settings, or in spite
// of wrong ones.
func WithoutSettings(*cobra.Command, []string) error { return nil }

// Connect gives a client whose daemon answers, starting it if need be. Somebody
// who is not root plans with the system's daemon when that runs, and otherwise
// with one of their own.
func (a *App) Connect(ctx context.Context) (*client.Client, api.Ping, error) {
	c := a.Dial()
	if a.UID != 0 && a.Settings.IsSystem() {
		if _, err := c.Ping(ctx); err != nil {
			c.Close()
			a.Settings, a.client = a.Settings.ForUser(a.Env), nil
			c = a.Dial()
		}
	}
	p, err := c.EnsureRunning(ctx)
	for _, note := range p.StartupNotes {
		fmt.Fprintln(a.Stderr, "note: "+note)
	}
	return c, p, err
}

// Dial gives a client without asking whether anybody answers.
func (a *App) Dial() *client.Client {
	if a.client == nil {
		start := client.NewDaemonStarter(a.Settings)
		if a.Embedded {
			start = a.startEmbedded
		}
		a.client = client.New(a.Settings, Build(), start)
		a.client.OnUnresponsive = func(d time.Duration) {
			fmt.Fprintf(a.Stderr, "the daemon is there and does not answer; waiting for it up to %s\n", d)
		}
	}
	return a.client
}

func (a *App) Producer(c *client.Client, host events.HostID) intent.Producer {
	return intent.Producer{Host: host, Submitter: c, Now: time.Now, NewID: parts.NewID}
}

// IsTerminal reports whether f is one.
func IsTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// Interactive reports whether somebody can be asked.
func (a *App) Interactive() bool { return !a.JSON && IsTerminal(a.Stdin) && IsTerminal(a.Stderr) }

// Renderer chooses how to show what goes on.
func (a *App) Renderer() output.ProgressRenderer {
	switch {
	case a.JSON:
		return &output.NDJSONRenderer{Out: a.Stdout}
	case a.Quiet:
		return output.QuietRenderer{}
	case IsTerminal(a.Stderr) && a.Env("TERM") != "dumb" && a.Env("ACCESSIBLE") == "":
		return &output.TerminalRenderer{Out: a.Stderr, Width: a.width}
	}
	return &output.LineRenderer{Out: a.Stderr}
}

func (a *App) width() int {
	if f, ok := a.Stderr.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			return w
		}
	}
	return 80
}
