package askcmd

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/consumers/llm/router"
	"cortex/events"
)

func newAsk(a *commands) *cobra.Command {
	var opts app.ModelOptions
	cmd := &cobra.Command{
		Use: `ask "QUESTION"`, Short: "Answer a question about this machine", Args: cmdutil.Args(1, cmdutil.AnyNumber),
		Long: `Answer a question about this machine. Cortex first looks up related facts: ports, packages,
history, hardware, disks. A model answers from these facts and names its sources. Without a model,
cortex prints the facts. The command changes nothing.`,
		Example: "  cortex ask \"why is port 80 taken?\"\n  cortex ask \"what changed yesterday?\" --offline\n  cortex ask \"how much memory has this machine?\" --show-prompt",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd.Context(), strings.Join(args, " "), opts)
		},
	}
	cmdutil.ModelFlags(cmd.Flags(), &opts)
	return cmd
}

// ask prints the answer. It prints the answer of a model while it arrives.
func (a *commands) ask(ctx context.Context, text string, opts app.ModelOptions) error {
	streamed := false
	answer, err := a.Ask(ctx, text, opts, func(d router.Delta) {
		switch {
		case a.JSON:
		case d.Restart && streamed:
			fmt.Fprintln(a.Stdout, "\n[the answer was interrupted; a new answer follows]")
		default:
			streamed = true
			fmt.Fprint(a.Stdout, events.SanitizeText(d.Text, events.MaxLLMAnswerBytes))
		}
	})
	if streamed {
		fmt.Fprintln(a.Stdout)
	}
	switch {
	case err != nil:
		return err
	case answer.Prompt != nil:
		a.ShowPrompt(*answer.Prompt)
		return nil
	}
	return a.PrintResult(answer, func(out io.Writer) {
		if answer.Mode == events.ModeOffline {
			a.printEvidence(out, answer)
			return
		}
		if !streamed {
			fmt.Fprintln(out, answer.Text)
		}
		if len(answer.Cited) > 0 {
			a.Infof("sources: %s", strings.Join(answer.Cited, ", "))
		}
		if len(answer.Uncited) > 0 {
			a.Infof("note: the answer names sources that the model was not given: %s", strings.Join(answer.Uncited, ", "))
		}
		a.Infof("%s", answer.Origin)
	})
}

// printEvidence prints the facts that were found without a model.
func (a *commands) printEvidence(out io.Writer, answer app.QuestionAnswer) {
	for _, e := range answer.Evidence {
		fmt.Fprintf(out, "%s:\n", e.Source)
		for line := range strings.Lines(e.Text) {
			fmt.Fprintf(out, "  %s\n", strings.TrimRight(line, "\n"))
		}
	}
	a.Infof("no AI model answered; these are related facts from this machine")
}
