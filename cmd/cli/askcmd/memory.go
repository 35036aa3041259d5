package askcmd

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/events"
	"cortex/projections/memory"
)

func newMemory(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "memory", Short: "Manage what cortex remembers about you", Args: cmdutil.Args(0, 0),
		Long: `Manage what cortex remembers about you: preferences that you set with 'cortex memory set', the
packages that you chose for requests in words, and what failed and later worked.

Each preference is encrypted with its own key, and 'cortex memory forget' destroys the key.
Users see and delete only their own items. With sudo, these are root's items.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newMemoryShow(a), newMemorySearch(a), newMemorySet(a), newMemoryForget(a), newMemoryExport(a))
	return cmd
}

func newMemoryShow(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "show [NAME]", Short: "Show remembered items, or one with its events", Args: cmdutil.Args(0, 1),
		Example:           "  cortex memory show\n  cortex memory show c34",
		ValidArgsFunction: a.completeMemories,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.printMemory(a.Memory(cmd.Context()))
			}
			e, err := a.RememberedItem(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": memory.FormatVersion, "memory": e}, func(w io.Writer) { output.Memory(w, e, time.Local) })
		},
	}
}

func (a *commands) printMemory(list []memory.RememberedItem, err error) error {
	if err != nil {
		return err
	}
	return a.PrintResult(map[string]any{"version": memory.FormatVersion, "memories": list}, func(w io.Writer) { output.Memories(w, list, time.Local) })
}

func newMemorySearch(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "search WORD…", Short: "Search the remembered items, best match first", Args: cmdutil.Args(1, cmdutil.AnyNumber),
		Long:    "Search the remembered items, best match first. Every word must occur, in any of its forms. The\nlast word may be a prefix.",
		Example: "  cortex memory search web server",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.printMemory(a.SearchMemory(cmd.Context(), strings.Join(args, " ")))
		},
	}
}

func newMemoryExport(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "export", Short: "Export the remembered items as JSON", Args: cmdutil.Args(0, 0),
		Example: "  cortex memory export >memory.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := a.Memory(cmd.Context())
			if err != nil {
				return err
			}
			v := map[string]any{"version": memory.FormatVersion, "uid": a.UID, "memories": list}
			return a.PrintResult(v, func(w io.Writer) {
				e := json.NewEncoder(w)
				e.SetIndent("", "  ")
				_ = e.Encode(v) // PrintResult returns the error of its buffer
			})
		},
	}
}

// printChange prints that a change of the memory is done.
func (a *commands) printChange(at events.Position, err error, done string) error {
	if err != nil {
		return err
	}
	return a.PrintResult(map[string]any{"version": memory.FormatVersion, "done": done, "position": at}, func(io.Writer) { a.Infof("%s", done) })
}

func newMemorySet(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "set TEXT…", Short: "Store a preference", Args: cmdutil.Args(1, cmdutil.AnyNumber),
		Long: `Store a preference in your own words. It is stored encrypted. A model that is asked for packages
receives it, as --show-prompt shows; no other program or user does.`,
		Example: `  cortex memory set "editors that run in the terminal"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := a.Remember(cmd.Context(), strings.Join(args, " "))
			return a.printChange(at, err, "remembered")
		},
	}
}

func newMemoryForget(a *commands) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "forget NAME…|--all", Short: "Delete remembered items about you", Args: cmdutil.Args(0, cmdutil.AnyNumber),
		Long: `Delete remembered items about you, permanently. For preferences, this destroys the keys, so that
the copies in the log cannot be read either. Cortex does not learn the same choices again from
the existing history. The history still contains your commands.`,
		Example:           "  cortex memory forget p12 c34\n  cortex memory forget --all",
		ValidArgsFunction: a.completeMemories,
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return cmdutil.UsageError(cmd, errors.New("name either items or --all"))
			}
			if all {
				at, err := a.ForgetAll(cmd.Context())
				return a.printChange(at, err, "forgotten")
			}
			at, err := a.Forget(cmd.Context(), args)
			return a.printChange(at, err, "forgotten")
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "delete everything that is remembered about you")
	return cmd
}

func (a *commands) completeMemories(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	if a.LoadSettings() != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, _ := a.CachedMemory(cmd.Context()) // after an error there is nothing to offer
	var out []string
	for _, e := range list {
		out = append(out, e.Name+"\t"+events.SanitizeLine(e.Text, 60))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
