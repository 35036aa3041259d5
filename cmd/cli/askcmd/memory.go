package askcmd

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/api"
	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/embedded/sqlite"
	"cortex/events"
	"cortex/projections/memory"
)

func newMemory(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "memory", Short: "Look at what is remembered about you, add to it, and have it forgotten", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `Look at what is remembered about you, add to it, and have it forgotten.

Three things are remembered: what you said with 'cortex memory set', which packages
you chose for which words, and what failed and what worked later. What you said is
sealed under a key of its own that 'forget' destroys. Everybody sees and forgets
their own only; with sudo that is root's.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newMemoryShow(a), newMemorySearch(a), newMemorySet(a), newMemoryForget(a), newMemoryExport(a))
	return cmd
}

func (a *commands) memories(ctx context.Context) (list []memory.RememberedItem, err error) {
	list = []memory.RememberedItem{}
	err = a.ReadMemory(ctx, func(r *memory.Reader) error {
		found, err := r.List(ctx)
		list = append(list, found...)
		return err
	})
	return list, err
}

func newMemoryShow(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "show [NAME]", Short: "Show everything that is remembered about you, or one memory with its events", Args: cmdutil.CheckArgs(cobra.MaximumNArgs(1)),
		Example:           "  cortex memory show\n  cortex memory show c34",
		ValidArgsFunction: a.completeMemories,
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := a.memories(cmd.Context())
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return a.showMemories(list)
			}
			e, err := memoryNamed(list, args[0])
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": memory.FormatVersion, "memory": e}, func(w io.Writer) { output.Memory(w, e, time.Local) })
		},
	}
}

func (a *commands) showMemories(list []memory.RememberedItem) error {
	return a.PrintResult(map[string]any{"version": memory.FormatVersion, "memories": list}, func(w io.Writer) { output.Memories(w, list, time.Local) })
}

func memoryNamed(list []memory.RememberedItem, name string) (memory.RememberedItem, error) {
	i := slices.IndexFunc(list, func(e memory.RememberedItem) bool { return e.Name == name })
	if i < 0 {
		return memory.RememberedItem{}, &events.Error{Op: "cli.memory", Kind: events.ErrNotFound, Subject: "memory " + name, Err: errors.New("there is none of yours"), Hint: "'cortex memory show' names them"}
	}
	return list[i], nil
}

func newMemorySearch(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "search WORD…", Short: "Search what is remembered about you, the best first", Args: cmdutil.CheckArgs(cobra.MinimumNArgs(1)),
		Long:    "Search what is remembered about you, the best first. Every word must occur, in any of its forms; of the last one its beginning is enough.",
		Example: "  cortex memory search web server",
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := a.memories(cmd.Context())
			if err != nil {
				return err
			}
			index, err := sqlite.OpenInMemory()
			if err != nil {
				return err
			}
			found, err := memory.Search(cmd.Context(), index, list, strings.Join(args, " "))
			if err := errors.Join(err, index.Close()); err != nil {
				return err
			}
			return a.showMemories(found)
		},
	}
}

func newMemoryExport(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "export", Short: "Write everything that is remembered about you as JSON", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Example: "  cortex memory export > memory.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := a.memories(cmd.Context())
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": memory.FormatVersion, "uid": a.UID, "memories": list}, func(w io.Writer) {
				e := json.NewEncoder(w)
				e.SetIndent("", "  ")
				_ = e.Encode(map[string]any{"version": memory.FormatVersion, "uid": a.UID, "memories": list}) // bufio keeps the error
			})
		},
	}
}

// remember has something remembered or forgotten, and says so once it is.
func (a *commands) remember(ctx context.Context, m api.MemoryChange, said string) error {
	c, _, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, app.AnswerTimeout)
	defer cancel()
	at, err := c.UpdateMemory(waiting, m)
	if err != nil {
		return err
	}
	return a.PrintResult(map[string]any{"version": memory.FormatVersion, "done": said, "position": at}, func(io.Writer) { a.Infof("%s", said) })
}

func newMemorySet(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "set TEXT…", Short: "Say what you prefer", Args: cmdutil.CheckArgs(cobra.MinimumNArgs(1)),
		Long: `Say what you prefer, in your own words. It is sealed; a model that is asked for
packages is told of it, as --show-prompt shows, and nobody else.`,
		Example: `  cortex memory set "editors that run in the terminal"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			text := strings.TrimSpace(strings.Join(args, " "))
			if text == "" || len(text) > events.MaxPreferenceBytes {
				return &events.Error{Op: "cli.memory", Kind: events.ErrUsage, Subject: "the preference", Err: errors.New("it must be from 1 to 1024 bytes long")}
			}
			return a.remember(cmd.Context(), api.MemoryChange{Preference: text}, "remembered")
		},
	}
}

func newMemoryForget(a *commands) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "forget NAME…|--all", Short: "Have memories of you forgotten", Args: cmdutil.CheckArgs(cobra.ArbitraryArgs),
		Long: `Have memories of you forgotten, for good. The keys of what you said are destroyed,
so that nobody reads it in the log either. What was learnt is dropped and not learnt
again from what happened before; the commands themselves stay in the history.`,
		Example:           "  cortex memory forget p12 c34\n  cortex memory forget --all",
		ValidArgsFunction: a.completeMemories,
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return cmdutil.UsageError(cmd, errors.New("either names of memories or --all"))
			}
			if all {
				return a.remember(cmd.Context(), api.MemoryChange{ForgetAll: true}, "forgotten")
			}
			list, err := a.memories(cmd.Context())
			if err != nil {
				return err
			}
			for _, name := range args {
				if _, err := memoryNamed(list, name); err != nil {
					return err
				}
			}
			return a.remember(cmd.Context(), api.MemoryChange{Forget: args}, "forgotten")
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "everything that is remembered about you")
	return cmd
}

func (a *commands) completeMemories(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var out []string
	if a.LoadSettings() != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	_ = a.QueryModel(cmd.Context(), memory.Name, func(db *sql.DB) error { // a completion that fails completes nothing
		list, err := a.MemoryReader(db).List(cmd.Context())
		for _, e := range list {
			out = append(out, e.Name+"\t"+events.SanitizeLine(e.Text, 60))
		}
		return err
	})
	return out, cobra.ShellCompDirectiveNoFileComp
}
