package transactcmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cortex/cmd/app"
	"cortex/cmd/output"
	"cortex/cmd/units"
	"cortex/events"
)

// choose returns the packages for every need: by --pick, by an exact name, or by a question
// on the terminal.
func (a *commands) choose(ctx context.Context, w *installRequest, v app.Understanding) ([]events.PackageName, error) {
	open := slices.DeleteFunc(slices.Clone(v.Needs), func(n events.Need) bool { return n.ExactName })
	picks, err := picked(open, w.pick)
	if err != nil {
		return nil, err
	}
	var out []events.PackageName
	shown := false
	for i := range v.Needs {
		n := v.Needs[i]
		switch {
		case n.ExactName:
			out = append(out, n.Candidates[0].Name)
		case len(picks) > 0:
			out = append(out, picks[0]...)
			w.took(n, picks[0])
			picks = picks[1:]
		case w.first:
			if !a.JSON {
				output.Candidates(a.Stdout, []events.Need{n})
			}
			a.Infof("the plan is for the first candidate, %s; to choose another, pass --pick", n.Candidates[0].Name)
			out = append(out, n.Candidates[0].Name)
		case !a.Interactive():
			if err := a.showCandidates(v); err != nil {
				return nil, err
			}
			return nil, choiceNeeded(v.Needs)
		default:
			output.Candidates(a.Stderr, []events.Need{n})
			if !shown {
				a.showOrigin(v)
				shown = true
			}
			names, err := a.askWhich(ctx, n)
			if err != nil {
				return nil, err
			}
			out = append(out, names...)
			w.took(n, names)
		}
	}
	if len(out) == 0 && len(w.refs) == 0 {
		return nil, &events.Error{Op: "cli", Kind: events.ErrCancelled, Err: errors.New("nothing was chosen; nothing was changed")}
	}
	return out, nil
}

// picked reads --pick. For one need it accepts several choices, otherwise one for each need.
func picked(open []events.Need, pick []string) ([][]events.PackageName, error) {
	if len(pick) == 0 {
		return nil, nil
	}
	if len(open) == 0 || len(open) > 1 && len(pick) != len(open) {
		return nil, &events.Error{Op: "cli", Kind: events.ErrUsage, Subject: "--pick", Err: fmt.Errorf("%s for %s", units.Count(len(pick), "choice"), units.Count(len(open), "need")), Hint: "pass one choice for each need; --candidates shows the needs"}
	}
	if len(open) == 1 {
		names, err := choices(open[0], pick)
		return [][]events.PackageName{names}, err
	}
	var out [][]events.PackageName
	for i, n := range open {
		names, err := choices(n, pick[i:i+1])
		if err != nil {
			return nil, err
		}
		out = append(out, names)
	}
	return out, nil
}

// choices reads numbers and names of candidates.
func choices(n events.Need, typed []string) ([]events.PackageName, error) {
	var out []events.PackageName
	for _, t := range typed {
		number, err := strconv.Atoi(t)
		at := number - 1
		if err != nil {
			at = slices.IndexFunc(n.Candidates, func(c events.Candidate) bool { return string(c.Name) == t })
		}
		if at < 0 || at >= len(n.Candidates) {
			return nil, &events.Error{Op: "cli", Kind: events.ErrUsage, Subject: strconv.Quote(t), Err: fmt.Errorf("not a candidate for %q", n.Phrase), Hint: fmt.Sprintf("enter a number from 1 to %d, or a name", len(n.Candidates))}
		}
		if name := n.Candidates[at].Name; !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out, nil
}

// askWhich asks on the terminal until the answer is valid. An empty answer chooses nothing.
func (a *commands) askWhich(ctx context.Context, n events.Need) ([]events.PackageName, error) {
	for {
		line, _, err := a.Prompt(ctx, fmt.Sprintf("Which? [1-%d, Enter for none] ", len(n.Candidates)))
		if err != nil {
			return nil, err
		}
		names, err := choices(n, strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ' ' }))
		if err == nil {
			return names, nil
		}
		fmt.Fprintf(a.Stderr, "%s; %s\n", err, events.HintOf(err))
	}
}

func choiceNeeded(needs []events.Need) error {
	var names []string
	for _, n := range needs {
		if !n.ExactName {
			names = append(names, string(n.Candidates[0].Name))
		}
	}
	return &events.Error{
		Op: "cli", Kind: events.ErrConfirmation, Err: errors.New("several packages match, and there is no terminal to ask on; nothing was changed"),
		Hint: "choose with --pick, for example: --pick " + strings.Join(names, ","),
	}
}

// took records the choice for a need, for the memory of choices.
func (w *installRequest) took(n events.Need, names []events.PackageName) {
	phrase := events.Redact(events.SanitizeLine(n.Phrase, events.MaxTextBytes))
	if len(names) > 0 && phrase != "" {
		w.chosen = append(w.chosen, events.Choice{Phrase: phrase, Names: names})
	}
}
