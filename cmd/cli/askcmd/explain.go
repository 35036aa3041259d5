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
		Use: "explain [TEXT|-]", Short: "Translate apt commands to cortex commands", Args: cmdutil.Args(0, 1),
		Long: `Translate apt commands to cortex commands without running them, for example commands from a web
page. The text is the argument or standard input. Nothing in it is run or expanded.

If any part of the text has no counterpart, the whole text is refused with exit code 5 and the
place: a pipe into a shell, a file, an option that changes how apt works, or another program.`,
		Example: "  cortex explain 'sudo apt-get update && sudo apt-get install -y nginx'\n  wl-paste | cortex explain",
		RunE: func(cmd *cobra.Command, args []string) error {
			text := strings.Join(args, "")
			if len(args) == 0 || text == "-" {
				b, err := io.ReadAll(io.LimitReader(a.Stdin, snippet.MaxBytes+1))
				if err != nil {
					return &events.Error{Op: "cli", Kind: events.ErrUnavailable, Subject: "standard input", Err: err}
				}
				text = string(b)
			}
			if strings.TrimSpace(text) == "" {
				return cmdutil.UsageError(cmd, errors.New("the text is empty"))
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
