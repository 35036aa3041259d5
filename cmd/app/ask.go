package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"cortex/cmd/askcontext"
	"cortex/consumers/llm"
	"cortex/consumers/llm/ask"
	"cortex/consumers/llm/router"
	"cortex/consumers/machine/apt"
	"cortex/events"
	"cortex/projections/answers"
	"cortex/projections/history"
)

// QuestionAnswer is an answer as JSON.
type QuestionAnswer struct {
	Version  int               `json:"version"`
	Mode     events.LLMMode    `json:"mode"`
	Text     string            `json:"answer,omitempty"` // of the model
	Origin   string            `json:"origin"`
	Event    events.ID         `json:"event,omitempty"`
	Cost     int64             `json:"cost_uusd,omitempty"`
	Evidence []events.Evidence `json:"evidence"`
	Cited    []string          `json:"cited,omitempty"`   // named sources that the model was given
	Uncited  []string          `json:"unknown,omitempty"` // named sources that the model was not given

	Prompt *llm.CompletionRequest `json:"-"` // with ModelOptions.ShowPrompt
}

// Ask answers a question about this machine: from what it finds on the machine and, where
// there is a model, from the model's answer. onDelta receives the answer while it arrives;
// a delta with Restart starts the answer over. With ShowPrompt nothing is asked and the
// prompt is returned in Answer.Prompt. It fails with ErrNotFound if nothing is found.
func (s *Service) Ask(ctx context.Context, text string, opts ModelOptions, onDelta func(router.Delta)) (QuestionAnswer, error) {
	found := s.gatherEvidence(ctx, text)
	q := events.Question{Task: classifyQuestion(text), Text: text, Machine: s.MachineLine(ctx), Evidence: found, OnlyProvider: opts.Provider}
	q.Scope = answers.Scope{Release: q.Machine, Schema: ask.SchemaVersion}.Hash()
	answer := QuestionAnswer{Version: 1, Mode: events.ModeOffline, Origin: "found without a model", Evidence: found}
	if err := q.Validate(); err != nil {
		return answer, err
	}
	if opts.ShowPrompt {
		prompt, err := ask.BuildPrompt(q)
		answer.Prompt = &prompt
		return answer, err
	}
	c, err := s.modelClient(ctx, opts)
	if err != nil {
		return answer, err
	}
	if c != nil {
		s.Note("asking a model…")
		reply, err := c.Ask(ctx, q, onDelta)
		if err == nil {
			answer.Mode, answer.Text, answer.Origin, answer.Event, answer.Cost = reply.Mode, reply.Text, ReplyOrigin(reply), reply.EventID, reply.Cost
			answer.Cited, answer.Uncited = citedSources(reply.Text, found)
			return answer, nil
		}
		if ctx.Err() != nil || opts.Provider != "" {
			return answer, err
		}
		s.Note(fmt.Sprintf("note: %v", err))
	}
	if len(found) == 0 {
		return answer, &events.Error{
			Op: "app.Ask", Kind: events.ErrNotFound, Subject: "the question", Err: errors.New("nothing on this machine relates to it"),
			Hint: "a model can answer more questions; to configure one, see: cortex llm --help",
		}
	}
	return answer, nil
}

// citedSources returns the sources that an answer names in square brackets, in two lists: those that the
// model was given, and others.
func citedSources(text string, given []events.Evidence) (known, unknown []string) {
	for _, m := range regexp.MustCompile(`\[([^\[\]\n]{1,80})\]`).FindAllStringSubmatch(text, 40) {
		for _, name := range strings.Split(m[1], ",") {
			name = strings.TrimSpace(name)
			is := slices.ContainsFunc(given, func(e events.Evidence) bool { return e.Source == name })
			switch {
			case is && !slices.Contains(known, name):
				known = append(known, name)
			case !is && !slices.Contains(unknown, name) && name != "redacted" && name != "user":
				unknown = append(unknown, name)
			}
		}
	}
	return known, unknown
}

// classifyQuestion guesses the type of a question, which decides the first provider to ask.
func classifyQuestion(text string) events.LLMTask {
	lower := strings.ToLower(text)
	for _, t := range []struct {
		task  events.LLMTask
		words string
	}{
		{events.TaskDiagnose, "error fail failed fails broken broke wrong crash taken cannot can't doesn't"},
		{events.TaskHardware, "gpu cpu memory ram hardware disk driver"},
		{events.TaskExplain, "what why how explain"},
	} {
		for w := range strings.FieldsSeq(t.words) {
			if strings.Contains(lower, w) {
				return t.task
			}
		}
	}
	return events.TaskConversation
}

// gatherEvidence looks up facts that relate to a question.
func (s *Service) gatherEvidence(ctx context.Context, text string) []events.Evidence {
	sources := askcontext.ContextSources{
		Root: s.Settings.Root, Machine: apt.New(apt.Config{Root: s.Settings.Root}),
		Hardware: func(ctx context.Context) ([]events.HardwareFact, error) {
			r, err := s.ReadHardware(ctx)
			return r.Facts, err
		},
	}
	if PathExists(filepath.Join(s.Settings.ReadModelsDir(), history.Name+".db")) {
		sources.History = func(ctx context.Context, f history.Filter) (list []history.TransactionRow, err error) {
			err = s.QueryHistory(ctx, func(r *history.Reader) error {
				list, err = r.List(ctx, f)
				return err
			})
			return list, err
		}
	}
	if c, err := s.PackageIndex(ctx); err == nil {
		defer c.Close()
		sources.Catalog = c
	}
	return askcontext.Gather(ctx, sources, text)
}
