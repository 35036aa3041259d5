package apt

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"cortex/events"
)

// planError returns the reason why apt cannot make a plan.
func planError(s events.Step, text string, err error) error {
	e := &events.Error{Op: "apt.Simulate", Kind: events.ErrApt, Err: errors.New(failureReason(text, err))}
	if len(s.Targets) == 1 {
		e.Subject = s.Targets[0].PackageRef.String()
	}
	switch {
	case strings.Contains(text, "is a virtual package provided by"):
		e.Kind = events.ErrNotFound
		e.Err = errors.New("a virtual package with several providers")
		e.Hint = "choose one of them: " + strings.Join(providers(text), ", ")
	case strings.Contains(text, "has no installation candidate"), strings.Contains(text, "was not found"), strings.Contains(text, "Unable to locate package"):
		e.Kind = events.ErrNotFound
		e.Hint = "the package lists may be old: run 'apt-get update'"
	case strings.Contains(text, "Unmet dependencies"), strings.Contains(text, "unmet dependencies"):
		e.Err = errors.New(dependencies(text, e.Err))
		e.Hint = "see 'apt-get check'; a required package may be on hold or not offered"
	case strings.Contains(text, "dpkg was interrupted"):
		e.Hint = "run 'dpkg --configure -a' first"
	}
	return e
}

// providers parses the list that apt prints for a virtual package.
func providers(text string) []string {
	_, after, _ := strings.Cut(text, "is a virtual package provided by")
	var out []string
	for line := range strings.Lines(after) {
		if f := strings.Fields(line); strings.HasPrefix(line, " ") && len(f) > 0 {
			out = append(out, f[0])
		} else if len(out) > 0 {
			break
		}
	}
	return out[:min(len(out), 8)]
}

// dependencies parses apt's list of unmet dependencies; otherwise is the message if
// there is none.
func dependencies(text string, otherwise error) string {
	_, after, ok := strings.Cut(text, "unmet dependencies:")
	if !ok {
		return otherwise.Error()
	}
	var out []string
	for line := range strings.Lines(after) {
		if strings.HasPrefix(line, " ") {
			out = append(out, strings.Join(strings.Fields(line), " "))
		}
	}
	if len(out) == 0 {
		return otherwise.Error()
	}
	return "unmet dependencies: " + strings.Join(out[:min(3, len(out))], "; ")
}

// notOffered returns the error of a package that cannot be reinstalled.
func notOffered(r events.PackageRef, v events.Version) error {
	return &events.Error{
		Op: "apt.Simulate", Kind: events.ErrNotFound, Subject: r.String(),
		Err: fmt.Errorf("the installed version %s is no longer offered", v), Hint: "upgrade it instead, or add a source that still offers it",
	}
}

// parseSetManual lists the automatic packages that apt marks as manual because they were
// named.
func parseSetManual(text string, native events.Architecture) []events.PackageKey {
	var out []events.PackageKey
	for line := range strings.Lines(text) {
		word, ok := strings.CutSuffix(strings.TrimSuffix(line, "\n"), " set to manually installed.")
		if ok && word != "" && !strings.Contains(word, " ") {
			name, arch, _ := strings.Cut(word, ":")
			out = append(out, keyOf(name, arch, native))
		}
	}
	return out
}

// uri is one line of --print-uris.
type uri struct {
	name, version, arch string
	size                int64
}

// parseURIs parses apt's lines: 'URI' NAME_VERSION_ARCH.deb SIZE HASH. The colon of an
// epoch is %3a in the file name.
func parseURIs(text string) []uri {
	var out []uri
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "'") {
			continue
		}
		_, rest, ok := strings.Cut(line[1:], "' ")
		f := strings.Fields(rest)
		if !ok || len(f) < 2 {
			continue
		}
		parts := strings.Split(strings.TrimSuffix(f[0], ".deb"), "_")
		size, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil || len(parts) != 3 || size < 0 {
			continue
		}
		out = append(out, uri{parts[0], strings.ReplaceAll(parts[1], "%3a", ":"), parts[2], size})
	}
	return out
}
