package app

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

// Limits of the remembered items in a prompt.
const (
	maxRecallBytes  = 2 << 10
	maxRecallStated = 10
)

// pastChoices reads the user's remembered choices and preferences, which rank candidates. If
// the memory cannot be read, it is empty.
type pastChoices struct {
	db     *sql.DB // nil: the memory is empty
	reader *memory.Reader
}

func (s *Service) pastChoices(ctx context.Context) pastChoices {
	db, err := sqlite.OpenReader(ctx, filepath.Join(s.Settings.ReadModelsDir(), memory.Name+".db"), 1)
	if err != nil {
		return pastChoices{}
	}
	return pastChoices{db, s.memoryReader(db)}
}

func (r pastChoices) close() error {
	if r.db == nil {
		return nil
	}
	return r.db.Close()
}

// chosen returns the packages that the user chose before for words.
func (r pastChoices) chosen(ctx context.Context, words string) []memory.ChoiceCount {
	if r.db == nil {
		return nil
	}
	list, err := r.reader.PastChoices(ctx, words)
	if err != nil {
		return nil
	}
	return list
}

// first moves packages that the user chose before for the same words to the front, with that
// reason. find looks up packages that are not among the candidates.
func (r pastChoices) first(ctx context.Context, n events.Need, find func(events.PackageName) (events.Candidate, bool)) events.Need {
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
				continue // no package list contains it any more
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

// promptText returns the preferences and the earlier choices for the same needs, for the prompt
// of a model. The user sees it with --show-prompt.
func (r pastChoices) promptText(ctx context.Context, needs []events.Need) string {
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
