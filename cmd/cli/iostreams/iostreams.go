// Package iostreams is the terminal side of a command: its streams, its output as text
// or JSON, and its questions.
//
// It promises that with --json nothing but JSON reaches standard output, that a question
// is asked only on a terminal, and that input typed before a question does not answer it.
package iostreams

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"cortex/cmd/output"
	"cortex/events"
)

// IO holds the streams of one command and how it prints.
type IO struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	JSON           bool // print JSON
	Quiet          bool // print no progress and no notes

	lines *bufio.Reader // the only reader of Stdin: it may hold the next answer
}

// ExitCode is an error that ends a command with this exit code and prints nothing.
type ExitCode int

func (c ExitCode) Error() string { return fmt.Sprintf("exit %d", int(c)) }

// IsTerminal reports whether a stream is a terminal.
func IsTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// Interactive reports whether a question can be asked.
func (s *IO) Interactive() bool { return !s.JSON && IsTerminal(s.Stdin) && IsTerminal(s.Stderr) }

// PrintResult prints the result of a command: v as indented JSON, or what text writes.
func (s *IO) PrintResult(v any, text func(io.Writer)) error {
	if !s.JSON {
		w := bufio.NewWriter(s.Stdout)
		text(w)
		return w.Flush()
	}
	e := json.NewEncoder(s.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// PrintLine prints one line of a JSON stream: its type, and v under field. Without
// --json it prints nothing.
func (s *IO) PrintLine(kind, field string, v any) {
	if s.JSON {
		_ = json.NewEncoder(s.Stdout).Encode(map[string]any{"version": 1, "type": kind, field: v})
	}
}

// Infof prints a note on standard error, unless --json or --quiet is set.
func (s *IO) Infof(format string, args ...any) {
	if !s.JSON && !s.Quiet {
		fmt.Fprintf(s.Stderr, format+"\n", args...)
	}
}

// PrintError prints an error with its hint and returns the exit code. An [ExitCode]
// prints nothing.
func (s *IO) PrintError(err error) int {
	var code ExitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case s.JSON:
		s.PrintLine("error", "error", events.FailureOf(err))
	default:
		fmt.Fprintln(s.Stderr, "cortex: "+strings.ReplaceAll(err.Error(), "\n", "\ncortex: "))
		if hint := events.HintOf(err); hint != "" {
			fmt.Fprintln(s.Stderr, "hint: "+hint)
		}
	}
	return events.KindOf(err).ExitCode()
}

// Renderer returns the renderer of a running transaction for this terminal.
func (s *IO) Renderer() output.ProgressRenderer {
	switch {
	case s.JSON:
		return &output.NDJSONRenderer{Out: s.Stdout}
	case s.Quiet:
		return output.QuietRenderer{}
	case IsTerminal(s.Stderr) && s.Getenv("TERM") != "dumb" && s.Getenv("ACCESSIBLE") == "":
		return &output.TerminalRenderer{Out: s.Stderr, Width: s.width}
	}
	return &output.LineRenderer{Out: s.Stderr}
}

// width returns the columns of the terminal, 80 where there is none.
func (s *IO) width() int {
	if f, ok := s.Stderr.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			return w
		}
	}
	return 80
}
