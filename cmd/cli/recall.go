package cli

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"cortex/embedded/sqlite"
	"cortex/events"
	"cortex/projections/memory"
)

// Limits of what a model is told of the person who asks.
const (
	maxRecallBytes  = 2 << 10
	maxRecallStated = 10
)

// recall is what is remembered about the person who asks, for choosing. A memory
// that cannot be read changes nothing: nobody waits for it.
type recall struct {
	db     *sql.DB // nil: nothing is remembered
	reader *memory.Reader
}

func (a *App) recall(ctx context.Context) recall {
	db, err := sqlite.OpenReader(ctx, filepath.Join(a.Settings.ReadModelsDir(), memory.Name+".db"), 1)
	if err != nil {
		return recall{}
	}
	return recall{db, a.memoryReader(db)}
}

func (r recall) close() error {
	if r.db == nil {
		return nil
	}
	return r.db.Close()
}

// chosen is what was chosen before for words.
func (r recall) chosen(ctx context.Context, words string) []memory.ChoiceCount {
	if r.db == nil {
		return nil
	}
	list, err := r.reader.PastChoices(ctx, words)
	if err != nil {
		return nil
	}
	return list
}

// first puts what was chosen before for the same words first, and says so. find
// looks up what is not among the candidates.
func (r recall) first(ctx context.Context, n events.Need, find func(events.PackageName) (events.Candidate, bool)) events.Need {
	if n.ExactName {
		return n
	}
	var before []events.Candidate
	rest := slices.Clone(n.Candidates)
	for _, c := range r.chosen(ctx, n.Phrase) {
		i := slices.IndexFunc(rest, func(o events.Candidate) bool { return o.Name == c.Package })
		var found events.Candidate
		if i >= 0 {
			found = rest[i]
			rest = slices.Delete(rest, i, i+1)
		} else {
			var ok bool
			if found, ok = find(c.Package); !ok {
				continue // no package list knows it any more
			}
		}
		why := fmt.Sprintf("you chose it before for these words, %d of %d times", c.TimesChosen, c.TimesAsked)
		found.Reasons = append([]string{why}, found.Reasons...)
		before = append(before, found)
	}
	all := append(before, rest...)
	n.Candidates = all[:min(len(all), events.MaxCandidates)]
	return n
}

// evidence is what a model is told: what the person said, and what they chose for
// the same needs. Whoever asks sees it with --show-prompt.
func (r recall) evidence(ctx context.Context, needs []events.Need) string {
	if r.db == nil {
		return ""
	}
	var lines []string
	for _, n := range needs {
		for _, c := range r.chosen(ctx, n.Phrase) {
			lines = append(lines, fmt.Sprintf("chose %s for %q, %d of %d times", c.Package, n.Phrase, c.TimesChosen, c.TimesAsked))
		}
	}
	said, err := r.reader.StatedPreferences(ctx, maxRecallStated)
	if err != nil {
		return ""
	}
	for _, text := range said {
		lines = append(lines, "said: "+text)
	}
	return events.SanitizeText(strings.Join(lines, "\n"), maxRecallBytes)
}

// took notes what a person chose for a need.
func (w *installRequest) took(n events.Need, names []events.PackageName) {
	words := events.Redact(events.SanitizeLine(n.Phrase, events.MaxTextBytes))
	if len(names) > 0 && words != "" {
		w.chosen = append(w.chosen, events.Choice{Phrase: words, Names: names})
	}
}
