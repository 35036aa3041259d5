package iostreams

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// maxSecretBytes bounds a secret that is read from a pipe.
const maxSecretBytes = 8 << 10

// Confirm asks a yes-or-no question on the terminal. An empty line means defaultYes; the
// end of input means no.
func (s *IO) Confirm(ctx context.Context, question string, defaultYes bool) (bool, error) {
	line, more, err := s.Prompt(ctx, question)
	switch strings.ToLower(line) {
	case "y", "yes":
		return err == nil, err
	case "":
		return err == nil && more && defaultYes, err
	}
	return false, err
}

// Prompt prints a question and reads one line from the terminal; more is false at the end
// of input. It discards what was typed before the question.
func (s *IO) Prompt(ctx context.Context, question string) (line string, more bool, err error) {
	if file, ok := s.Stdin.(*os.File); ok {
		_ = unix.IoctlSetInt(int(file.Fd()), unix.TCFLSH, unix.TCIFLUSH) // fails where Stdin is not a terminal
	}
	fmt.Fprint(s.Stderr, question)
	if s.lines == nil {
		s.lines = bufio.NewReader(s.Stdin)
	}
	lines := make(chan string, 1)
	go func() { // blocks until the process exits when no line comes
		line, _ := s.lines.ReadString('\n')
		lines <- line
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(s.Stderr)
		return "", false, ctx.Err()
	case line := <-lines:
		return strings.TrimSpace(line), line != "", nil
	}
}

// ReadSecret reads a secret: from a terminal without echo, from a pipe its first line.
func (s *IO) ReadSecret(ctx context.Context, prompt string) (string, error) {
	if f, ok := s.Stdin.(*os.File); ok && IsTerminal(f) {
		fmt.Fprint(s.Stderr, prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(s.Stderr)
		return strings.TrimSpace(string(b)), errors.Join(err, ctx.Err())
	}
	line, err := bufio.NewReader(io.LimitReader(s.Stdin, maxSecretBytes)).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return strings.TrimSpace(line), err
}
