package llmcmd

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/projections/answers"
)

func newCache(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "cache", Short: "Manage cached model answers", Args: cmdutil.Args(0, 0),
		Long: `Manage cached model answers.

A cached answer is used again for the same question, or for a question with the same
meaning, while the release, the architecture and the package indexes are the same. It
expires after thirty days. Its plan is made and checked again every time. If you delete an
answer from the cache, the log still contains it.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCacheStats(a), newCacheList(a), newCacheShow(a), newCacheClear(a), newCacheInvalidate(a))
	return cmd
}

func newCacheStats(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "stats", Short: "Show the size of the cache and the saved costs", Args: cmdutil.Args(0, 0), Example: "  cortex cache stats",
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := a.CacheTotals(cmd.Context())
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": answers.FormatVersion, "cache": t}, func(w io.Writer) { output.CacheTotals(w, t) })
		},
	}
}

func newCacheList(a *commands) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List cached answers, last used first", Args: cmdutil.Args(0, 0), Example: "  cortex cache list -n 10",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := a.CachedAnswers(cmd.Context(), limit)
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": answers.FormatVersion, "answers": list}, func(w io.Writer) {
				output.Answers(w, list, time.Local)
			})
		},
	}
	cmd.Flags().IntVarP(&limit, "limit", "n", 50, "show at most N (0: all)")
	return cmd
}

func newCacheShow(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "show ANSWER", Short: "Show one cached answer with its keys", Args: cmdutil.Args(1, 1),
		Long:    "Show one cached answer with its keys. ANSWER is a number from 'cortex cache list', an id, or\nthe last six or more characters of an id.",
		Example: "  cortex cache show 41",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := a.CachedAnswer(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": answers.FormatVersion, "answer": found}, func(w io.Writer) {
				output.Answer(w, found, time.Local)
			})
		},
	}
}

func newCacheClear(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "clear", Short: "Delete all cached answers", Args: cmdutil.Args(0, 0), Example: "  cortex cache clear",
		RunE: func(cmd *cobra.Command, _ []string) error {
			done, err := a.ForgetAllAnswers(cmd.Context(), "cortex cache clear")
			return a.printForgotten(done, err)
		},
	}
}

func newCacheInvalidate(a *commands) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "invalidate ANSWER…", Short: "Delete single cached answers", Args: cmdutil.Args(1, cmdutil.AnyNumber),
		Example: `  cortex cache invalidate 41 --reason "it named the wrong package"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			done, err := a.ForgetAnswers(cmd.Context(), args, reason)
			return a.printForgotten(done, err)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "record this reason in the log")
	return cmd
}

func (a *commands) printForgotten(done app.Forgotten, err error) error {
	if err != nil {
		return err
	}
	return a.PrintResult(map[string]any{"version": 1, "forgotten": done.What, "position": done.Position}, func(io.Writer) { a.Infof("deleted from the cache") })
}
