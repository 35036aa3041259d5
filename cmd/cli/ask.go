package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cortex/cmd/askcontext"
	"cortex/cmd/client"
	"cortex/cmd/output"
	"cortex/consumers/llm/ask"
	"cortex/consumers/llm/router"
	"cortex/consumers/machine/apt"
	"cortex/events"
	"cortex/projections/answers"
	"cortex/projections/history"
)

func newAsk(a *App) *cobra.Command {
	var w installRequest
	cmd := &cobra.Command{
		Use: `ask "QUESTION"`, Short: "Ask about this machine in words", Args: CheckArgs(cobra.MinimumNArgs(1)),
		Long: `Ask about this machine in words. What bears on the question is looked up first:
ports, packages, history, hardware, disks. With a model it answers from that and
names its sources; without one you see what was found. Nothing is changed.`,
		Example: "  cortex ask \"why is port 80 taken?\"\n  cortex ask \"what changed yesterday?\" --offline\n  cortex ask \"how much memory has this machine?\" --show-prompt",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.askQuestion(cmd.Context(), &w, strings.Join(args, " "))
		},
	}
	modelFlags(cmd.Flags(), &w.offline, &w.provider, &w.show)
	return cmd
}

// askView is an answer as JSON.
type askView struct {
	Version  int               `json:"version"`
	Mode     events.LLMMode    `json:"mode"`
	Answer   string            `json:"answer,omitempty"` // of a model
	Origin   string            `json:"origin"`
	Event    events.ID         `json:"event,omitempty"`
	Cost     int64             `json:"cost_uusd,omitempty"`
	Evidence []events.Evidence `json:"evidence"`
	Cited    []string          `json:"cited,omitempty"`   // sources that the answer names and was given
	Uncited  []string          `json:"unknown,omitempty"` // sources that it names and was not given
}

func (a *App) askQuestion(ctx context.Context, w *installRequest, text string) error {
	found := a.evidence(ctx, text)
	q := events.Question{Task: taskOf(text), Text: text, Machine: a.machineLine(ctx), Evidence: found, OnlyProvider: w.provider}
	q.Scope = answers.Scope{Release: q.Machine, Schema: ask.SchemaVersion}.Hash()
	if err := q.Validate(); err != nil {
		return err
	}
	if w.show {
		return a.showPrompt(q)
	}
	c, err := a.model(ctx, w)
	if err != nil {
		return err
	}
	view := askView{Version: 1, Mode: events.ModeOffline, Origin: "found without a model", Evidence: found}
	if c != nil {
		switch done, err := a.askModelFor(ctx, c, q, &view); {
		case done || err != nil && (ctx.Err() != nil || w.provider != ""):
			return err
		case err != nil:
			a.Infof("note: %v", err)
		}
	}
	if len(found) == 0 {
		return &events.Error{Op: "cli.ask", Kind: events.ErrNotFound, Subject: "the question", Err: fmt.Errorf("nothing on this machine bears on it"), Hint: "'cortex llm' tells how to set up a model, which understands more"}
	}
	return a.PrintResult(view, func(out io.Writer) {
		for _, e := range found {
			fmt.Fprintf(out, "%s:\n", e.Source)
			for line := range strings.Lines(e.Text) {
				fmt.Fprintf(out, "  %s\n", strings.TrimRight(line, "\n"))
			}
		}
		a.Infof("found without a model: this is what bears on the question, not its answer")
	})
}

// askModelFor puts the question and shows the answer while it comes. done is false
// when nobody answered.
func (a *App) askModelFor(ctx context.Context, c *client.Client, q events.Question, view *askView) (done bool, err error) {
	streamed := false
	a.Infof("asking a model…")
	reply, err := c.Ask(ctx, q, func(d router.Delta) {
		switch {
		case a.JSON:
		case d.Restart && streamed:
			fmt.Fprintln(a.Stdout, "\n[that answer broke off; another begins]")
		default:
			streamed = true
			fmt.Fprint(a.Stdout, events.SanitizeText(d.Text, events.MaxLLMAnswerBytes))
		}
	})
	if streamed {
		fmt.Fprintln(a.Stdout)
	}
	if err != nil {
		return false, err
	}
	view.Mode, view.Answer, view.Origin, view.Event, view.Cost = reply.Mode, reply.Text, origin(reply), reply.EventID, reply.Cost
	view.Cited, view.Uncited = cited(reply.Text, q.Evidence)
	return true, a.PrintResult(view, func(out io.Writer) {
		if !streamed {
			fmt.Fprintln(out, reply.Text)
		}
		if len(view.Cited) > 0 {
			a.Infof("sources: %s", strings.Join(view.Cited, ", "))
		}
		if len(view.Uncited) > 0 {
			a.Infof("note: it names sources it was not given: %s", strings.Join(view.Uncited, ", "))
		}
		a.Infof("%s", view.Origin)
	})
}

// cited gives the sources that an answer names in square brackets.
func cited(text string, given []events.Evidence) (known, unknown []string) {
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

// taskOf guesses what kind of question it is; it decides whom to ask first.
func taskOf(text string) events.LLMTask {
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

// evidence looks up what bears on a question.
func (a *App) evidence(ctx context.Context, text string) []events.Evidence {
	s := askcontext.ContextSources{
		Root: a.Settings.Root, Machine: apt.New(apt.Config{Root: a.Settings.Root}),
		Hardware: func(ctx context.Context, w io.Writer) error {
			r, err := a.look(ctx)
			if err == nil {
				output.Hardware(w, r.Facts)
			}
			return err
		},
	}
	if pathExists(filepath.Join(a.Settings.ReadModelsDir(), history.Name+".db")) {
		s.History = func(ctx context.Context, f history.Filter) (list []history.TransactionRow, err error) {
			err = a.QueryHistory(ctx, func(r *history.Reader) error {
				list, err = r.List(ctx, f)
				return err
			})
			return list, err
		}
	}
	if c, err := a.catalog(ctx); err == nil {
		defer c.Close()
		s.Catalog = c
	}
	return askcontext.Gather(ctx, s, text)
}
