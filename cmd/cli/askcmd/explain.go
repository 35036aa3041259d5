package askcmd

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/events"
	"cortex/producers/snippet"
)

func newExplain(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "explain [TEXT|-]", Short: "Read commands from a web page as what they would do here", Args: cmdutil.CheckArgs(cobra.MaximumNArgs(1)),
		Long: `Read shell commands – of a web page, an answer, a colleague – and print the cortex
commands that do exactly that. The text comes from the argument or from standard
input. Nothing in it is run or expanded. A text of which one word has no counterpart –
a pipe into a shell, a file, an option that changes how apt works, another program –
is refused as a whole, with the place and exit code 5.

  cortex explain 'sudo apt-get update && sudo apt-get install -y nginx'
  wl-paste | cortex explain`,
		RunE: func(cmd *cobra.Command, args []string) error {
			text := strings.Join(args, "")
			if len(args) == 0 || text == "-" {
				b, err := io.ReadAll(io.LimitReader(a.Stdin, snippet.MaxBytes+1))
				if err != nil {
					return &events.Error{Op: "cli.explain", Kind: events.ErrUnavailable, Subject: "standard input", Err: err}
				}
				text = string(b)
			}
			if strings.TrimSpace(text) == "" {
				return cmdutil.UsageError(cmd, errors.New("there is no text"))
			}
			t, err := snippet.Translate(text)
			if err != nil {
				return err
			}
			commands := []string{}
			for _, in := range t.Intents {
				commands = append(commands, snippet.CommandLine(in))
			}
			return a.PrintResult(map[string]any{"version": 1, "commands": commands, "intents": t.Intents, "notes": t.Notes}, func(w io.Writer) {
				for _, c := range commands {
					fmt.Fprintln(w, c)
				}
				for _, n := range t.Notes {
					a.Infof("note: %s", n)
				}
			})
		},
	}
}
