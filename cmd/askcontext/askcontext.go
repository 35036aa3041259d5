// Package askcontext collects facts about this machine that are relevant to a question in
// natural language: open ports, packages, history, hardware and free disk space.
//
// It promises: it changes nothing; it reads only what its user may read; each finding
// names its source. It selects findings by keywords, so they are context for an answer
// and not the answer.
package askcontext

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cortex/cmd/hwsummary"
	"cortex/consumers/machine/apt"
	"cortex/embedded/pkgindex"
	"cortex/events"
	"cortex/producers/ports"
	"cortex/projections/history"
)

// Limits of the collected context.
const (
	maxPackages     = 5
	maxTransactions = 8
	maxListeners    = 40
	maxText         = 4 << 10
)

// ContextSources are the sources of the context. Nil functions are skipped.
type ContextSources struct {
	Root     string
	Machine  *apt.Machine
	Catalog  *pkgindex.Index // nil without package lists
	History  func(context.Context, history.Filter) ([]history.TransactionRow, error)
	Hardware func(context.Context) ([]events.HardwareFact, error)
}

// Gather collects the context of a question.
func Gather(ctx context.Context, s ContextSources, question string) []events.Evidence {
	words := splitWords(question)
	var out []events.Evidence
	total := 0
	add := func(found ...events.Evidence) {
		for _, e := range found {
			e.Text = events.SanitizeText(strings.TrimSpace(e.Text), maxText)
			if e.Text != "" && total+len(e.Text)+len(e.Source) <= events.MaxEvidenceBytes {
				total += len(e.Text) + len(e.Source)
				out = append(out, e)
			}
		}
	}
	if numbers, about := portsAskedAbout(question, words); about {
		add(s.ports(ctx, numbers))
	}
	add(s.packages(ctx, question)...)
	if containsAny(words, "history changed change changes last recent recently yesterday today installed removed upgraded broke broken undo happened transaction when") {
		add(s.recentTransactions(ctx))
	}
	if containsAny(words, "hardware gpu graphics cpu processor memory ram vram disk kernel machine virtual container battery uefi") {
		add(s.hardware(ctx))
	}
	if containsAny(words, "disk space full storage filesystem room") {
		add(s.diskSpace())
	}
	if len(out) == 0 {
		add(s.candidates(ctx, question))
	}
	return out
}

func splitWords(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("+-.", r)
	})
}

func containsAny(words []string, any string) bool {
	return slices.ContainsFunc(strings.Fields(any), func(w string) bool { return slices.Contains(words, w) })
}

// portsAskedAbout reports whether a question is about ports, and returns the port numbers
// in it.
func portsAskedAbout(question string, words []string) (numbers []uint16, about bool) {
	about = containsAny(words, "port ports listening listen listens socket sockets bind")
	if !about {
		return nil, false
	}
	for _, m := range regexp.MustCompile(`\b([0-9]{1,5})\b`).FindAllString(question, 8) {
		if n, err := strconv.ParseUint(m, 10, 16); err == nil && n > 0 {
			numbers = append(numbers, uint16(n))
		}
	}
	return numbers, true
}

// ports lists the processes that listen.
func (s ContextSources) ports(ctx context.Context, numbers []uint16) events.Evidence {
	e := events.Evidence{Source: "/proc/net"}
	all, err := ports.Listeners(s.Root)
	if err != nil {
		e.Text = "unavailable: " + err.Error()
		return e
	}
	var lines []string
	for _, l := range all {
		if len(numbers) > 0 && !slices.Contains(numbers, l.Address.Port()) {
			continue
		}
		line := fmt.Sprintf("%s %s: ", l.Protocol, l.Address)
		switch {
		case l.PID == 0:
			line += "a process of another user (root can see which)"
		default:
			line += fmt.Sprintf("%s, process %d", l.Program, l.PID)
			if name := s.Machine.OwningPackage(ctx, l.Program); name != "" {
				line += ", of package " + string(name)
			}
		}
		if lines = append(lines, line); len(lines) == maxListeners {
			break
		}
	}
	for _, n := range numbers {
		if !slices.ContainsFunc(all, func(l ports.Listener) bool { return l.Address.Port() == n }) {
			lines = append(lines, fmt.Sprintf("no process listens on port %d", n))
		}
	}
	e.Text = strings.Join(lines, "\n")
	return e
}

// packages describes the packages that a question names.
func (s ContextSources) packages(ctx context.Context, question string) []events.Evidence {
	inv, err := s.Machine.Inventory(ctx)
	if err != nil {
		return nil
	}
	installed := map[events.PackageName]events.State{}
	for k, st := range inv {
		if st.Installed() {
			installed[k.Name] = st
		}
	}
	var out []events.Evidence
	seen := map[string]bool{}
	for _, w := range splitWords(question) {
		w = strings.Trim(w, ".-")
		name := events.PackageName(w)
		if seen[w] || len(w) < 2 || name.Validate() != nil || commonWords[w] {
			continue
		}
		seen[w] = true
		st, isInstalled := installed[name]
		var c events.Candidate
		offered := false
		if s.Catalog != nil {
			c, offered, _ = s.Catalog.Get(ctx, name)
		}
		if !isInstalled && !offered {
			continue
		}
		text := string(name) + ": "
		switch {
		case isInstalled:
			text += "installed, version " + string(st.Version)
			if st.Auto {
				text += ", automatically"
			}
		default:
			text += "not installed"
		}
		if offered {
			text += fmt.Sprintf("; offered: %s; %s", c.Version, c.Description)
		}
		out = append(out, events.Evidence{Source: "dpkg and the package lists", Text: text})
		out = append(out, s.transactions(ctx, history.Filter{Package: name, Limit: maxTransactions}, "history of "+w)...)
		if len(seen) >= 40 || len(out) >= 2*maxPackages {
			break
		}
	}
	return out
}

// commonWords are package names that are ordinary words in a question.
var commonWords = func() map[string]bool {
	out := map[string]bool{}
	for w := range strings.FieldsSeq("a at be by do does for from get has have how in install installed is it last me my not of on open or out run running sl so that the this time to up use used uses what when where which who why will with file make man more less find") {
		out[w] = true
	}
	return out
}()

func (s ContextSources) recentTransactions(ctx context.Context) events.Evidence {
	for _, e := range s.transactions(ctx, history.Filter{Limit: maxTransactions}, "history") {
		return e
	}
	return events.Evidence{}
}

// transactions lists transactions, the newest first.
func (s ContextSources) transactions(ctx context.Context, f history.Filter, source string) []events.Evidence {
	if s.History == nil {
		return nil
	}
	list, err := s.History(ctx, f)
	if err != nil || len(list) == 0 {
		return nil
	}
	var lines []string
	for _, t := range list {
		if t.DryRun {
			continue
		}
		line := fmt.Sprintf("transaction %d, %s: %s %s, %s", t.Number, t.RequestedAt.Local().Format("2006-01-02 15:04"), t.Verb, t.Summary, t.State)
		if t.Failure != nil {
			line += " (" + t.Failure.Message + ")"
		}
		lines = append(lines, line)
	}
	return []events.Evidence{{Source: source, Text: strings.Join(lines, "\n")}}
}

func (s ContextSources) hardware(ctx context.Context) events.Evidence {
	if s.Hardware == nil {
		return events.Evidence{}
	}
	facts, err := s.Hardware(ctx)
	if err != nil {
		return events.Evidence{Source: "hardware", Text: "unavailable: " + err.Error()}
	}
	var lines []string
	for _, line := range hwsummary.Lines(facts) {
		lines = append(lines, line.Label+": "+line.Text)
	}
	return events.Evidence{Source: "hardware", Text: strings.Join(lines, "\n")}
}

// diskSpace returns the free space of the root file system.
func (s ContextSources) diskSpace() events.Evidence {
	var st unix.Statfs_t
	if err := unix.Statfs(s.Root, &st); err != nil {
		return events.Evidence{}
	}
	unit := uint64(st.Bsize) // a block's size
	return events.Evidence{Source: "statfs /", Text: fmt.Sprintf("/ has %.1f GB of %.1f GB free", float64(st.Bavail*unit)/1e9, float64(st.Blocks*unit)/1e9)}
}

// candidates lists packages that match the question if no other source has findings.
func (s ContextSources) candidates(ctx context.Context, question string) events.Evidence {
	if s.Catalog == nil {
		return events.Evidence{}
	}
	found, err := s.Catalog.Search(ctx, question, maxPackages)
	if err != nil {
		return events.Evidence{}
	}
	var lines []string
	for _, c := range found {
		lines = append(lines, fmt.Sprintf("%s: %s", c.Name, c.Description))
	}
	return events.Evidence{Source: "package lists", Text: strings.Join(lines, "\n")}
}
