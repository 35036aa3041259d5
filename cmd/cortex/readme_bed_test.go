package main_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
)

// readmeCommand is one command of the README's session with the lines that follow it.
type readmeCommand struct {
	line   string   // without the prompt
	output []string // as the README shows it
}

// readReadmeSession returns the commands in the first console block of the README.
func readReadmeSession(t *testing.T) (session []readmeCommand) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```console\n")
	block, _, ended := strings.Cut(rest, "\n```")
	if !found || !ended {
		t.Fatal("README.md has no console block")
	}
	for line := range strings.SplitSeq(block, "\n") {
		if command, ok := strings.CutPrefix(line, "# "); ok {
			session = append(session, readmeCommand{line: command})
			continue
		}
		if len(session) == 0 {
			t.Fatalf("README.md: the session starts with output: %q", line)
		}
		last := &session[len(session)-1]
		last.output = append(last.output, line)
	}
	return session
}

var (
	answerInReadme = regexp.MustCompile(`\[(?:Y/n|y/N)\] (\w+)$`)
	eraseLine      = "\x1b[K"
	// readmeMasks hide what differs between the test bed and a Debian machine.
	readmeMasks = []struct {
		pattern *regexp.Regexp
		mask    string
	}{
		{regexp.MustCompile(`\b[0-9a-f]{12}\b`), "PLAN"},
		{regexp.MustCompile(`\b\d{4}-\d\d-\d\d \d\d:\d\d\b`), "TIME"},
		{regexp.MustCompile(`\b\d+(\.\d+)? (B|[kMG]B)( |$)`), "SIZE$3"},
		{regexp.MustCompile(`\b\d+(\.\d+)? (ms|s)( |$)`), "DURATION$3"},
		{regexp.MustCompile(`\b\w+:[\w.]+/\w+`), "ORIGIN"},
		{regexp.MustCompile(`\b\d+(\.\d+)+[\w.+~:-]*`), "VERSION"},
		{regexp.MustCompile(` {2,}`), "  "}, // columns are as wide as their values
	}
)

// masked returns the lines that a reader compares, without blank lines at the end.
func masked(lines []string) []string {
	var out []string
	for _, line := range lines {
		for _, m := range readmeMasks {
			line = m.pattern.ReplaceAllString(line, m.mask)
		}
		out = append(out, strings.TrimRight(line, " "))
	}
	for len(out) > 0 && out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return out
}

// finalLines returns the lines that remain on a terminal, where a progress line erases the one
// before it.
func finalLines(screen string) (lines []string) {
	for line := range strings.SplitSeq(screen, "\n") {
		line = strings.TrimRight(line, "\r")
		if at := strings.LastIndex(line, eraseLine); at >= 0 {
			line = line[at+len(eraseLine):]
		}
		lines = append(lines, line)
	}
	return lines
}

// TestReadmeSession runs the session of the README on a terminal and compares what it
// prints. Plan ids, times, sizes, versions and origins are masked.
func TestReadmeSession(t *testing.T) {
	m := setup(t)
	session := readReadmeSession(t)
	if len(session) < 3 {
		t.Fatalf("README.md shows %d commands; at least 3 are expected", len(session))
	}
	for _, c := range session {
		args := strings.Fields(c.line)
		if args[0] != "cortex" {
			t.Fatalf("README.md: the session runs %q; this test runs cortex only", c.line)
		}
		s := m.onTerminal(args[1:]...)
		if err := pty.Setsize(s.file, &pty.Winsize{Rows: 40, Cols: 120}); err != nil {
			t.Fatal(err)
		}
		for _, line := range c.output {
			if answer := answerInReadme.FindStringSubmatchIndex(line); answer != nil {
				s.expect(strings.TrimSpace(line[:answer[2]]))
				s.typed(line[answer[2]:answer[3]] + "\n")
			}
		}
		code, got := s.exit(), finalLines(s.text())
		if code != 0 {
			t.Errorf("%s: exit %d", c.line, code)
		}
		if diff := cmp.Diff(masked(c.output), masked(got)); diff != "" {
			t.Errorf("README.md does not show what %q prints (-README +printed):\n%s\nThe command printed:\n%s", c.line, diff, strings.Join(got, "\n"))
		}
	}
}
