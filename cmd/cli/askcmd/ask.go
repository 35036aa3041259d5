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
		Use: `ask "QUESTION"`, Short: "Ask about this machine in words", Args: cmdutil.CheckArgs(cobra.MinimumNArgs(1)),
		Long: `Ask about this machine in words. What bears on the question is looked up first:
ports, packages, history, hardware, disks. With a model it answers from that and
names its sources; without one you see what was found. Nothing is changed.`,
		Example: "  cortex ask \"why is port 80 taken?\"\n  cortex ask \"what changed yesterday?\" --offline\n  cortex ask \"how much memory has this machine?\" --show-prompt",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd.Context(), strings.Join(args, " "), opts)
		},
	}
	cmdutil.ModelFlags(cmd.Flags(), &opts)
	return cmd
}

// ask prints the answer; one from a model while it arrives.
func (a *commands) ask(ctx context.Context, text string, opts app.ModelOptions) error {
	streamed := false
	answer, err := a.Ask(ctx, text, opts, func(d router.Delta) {
		switch {
		case a.JSON:
		case d.Restart && streamed:
			fmt.Fprintln(a.Stdout, "\n[this answer was cut off; a new one follows]")
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

// printEvidence prints what was found without a model.
func (a *commands) printEvidence(out io.Writer, answer app.Answer) {
	for _, e := range answer.Evidence {
		fmt.Fprintf(out, "%s:\n", e.Source)
		for line := range strings.Lines(e.Text) {
			fmt.Fprintf(out, "  %s\n", strings.TrimRight(line, "\n"))
		}
	}
	a.Infof("no AI model answered; these are related facts from this machine")
}
