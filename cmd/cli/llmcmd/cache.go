package llmcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/client"
	"cortex/cmd/output"
	"cortex/embedded/sqlite"
	"cortex/events"
	"cortex/projections"
	"cortex/projections/answers"
)

func newCache(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "cache", Short: "Look at the answers of models that may be used again", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `Look at the answers of models that may be used again, and have them forgotten.

An answer is used again for the same question, or for one that means the same to the
letter of what matters, in the same release, architecture and package indexes; for
thirty days, and never without being planned and checked anew. What was answered
stays in the log when it is forgotten here.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCacheStats(a), newCacheList(a), newCacheShow(a), newCacheClear(a), newCacheInvalidate(a))
	return cmd
}

// readAnswers answers from the read model's file, without a daemon. When the file
// cannot be used it lets a daemon rebuild it and asks again.
func (a *commands) readAnswers(ctx context.Context, ask func(*answers.Reader) error) error {
	err := a.askAnswers(ctx, ask)
	if err == nil || !projections.NeedsRebuild(err) {
		return err
	}
	if !a.HasLog() {
		return a.NoHistory()
	}
	if a.UID != 0 && a.Settings.IsSystem() {
		return &events.Error{Op: "cli.readAnswers", Kind: events.ErrConfirmation, Subject: "read model answers", Err: err, Hint: "run: sudo cortex replay answers"}
	}
	if _, _, err := a.Connect(ctx); err != nil {
		return err
	}
	return a.askAnswers(ctx, ask)
}

func (a *commands) askAnswers(ctx context.Context, ask func(*answers.Reader) error) error {
	db, err := sqlite.OpenReader(ctx, filepath.Join(a.Settings.ReadModelsDir(), answers.Name+".db"), 1)
	if err != nil {
		return projections.WrapError(answers.Name, err)
	}
	r := answers.NewReader(db)
	return projections.WrapError(answers.Name, errors.Join(ask(r), r.Close(), db.Close()))
}

func newCacheStats(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "stats", Short: "Tell what the cache holds and has spared", Args: cmdutil.CheckArgs(cobra.NoArgs), Example: "  cortex cache stats",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var t answers.Totals
			err := a.readAnswers(cmd.Context(), func(r *answers.Reader) (err error) {
				t, err = r.Totals(cmd.Context())
				return err
			})
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
		Use: "list", Short: "List the answers, the one used last first", Args: cmdutil.CheckArgs(cobra.NoArgs), Example: "  cortex cache list -n 10",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := []answers.CachedAnswer{}
			err := a.readAnswers(cmd.Context(), func(r *answers.Reader) error {
				found, err := r.List(cmd.Context(), limit)
				list = append(list, found...)
				return err
			})
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": answers.FormatVersion, "answers": list}, func(w io.Writer) {
				output.Answers(w, list, time.Local)
			})
		},
	}
	cmd.Flags().IntVarP(&limit, "limit", "n", 50, "at most so many; 0 for all")
	return cmd
}

func newCacheShow(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "show ANSWER", Short: "Show one answer with its keys", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		Long:    "Show one answer with its keys. ANSWER is a number from 'cortex cache list', an id, or the last six or more characters of one.",
		Example: "  cortex cache show 41",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := a.findAnswer(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": answers.FormatVersion, "answer": found}, func(w io.Writer) {
				output.Answer(w, found, time.Local)
			})
		},
	}
}

func (a *commands) findAnswer(ctx context.Context, ref string) (found answers.CachedAnswer, err error) {
	err = a.readAnswers(ctx, func(r *answers.Reader) (err error) {
		found, err = r.Get(ctx, ref)
		return err
	})
	return found, err
}

func newCacheClear(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "clear", Short: "Forget every answer", Args: cmdutil.CheckArgs(cobra.NoArgs), Example: "  cortex cache clear",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.forget(cmd.Context(), events.AnswersForgotten{All: true, Reason: "cortex cache clear"})
		},
	}
}

func newCacheInvalidate(a *commands) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "invalidate ANSWER…", Short: "Forget some answers", Args: cmdutil.CheckArgs(cobra.MinimumNArgs(1)),
		Example: `  cortex cache invalidate 41 --reason "it named the wrong package"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			what := events.AnswersForgotten{Reason: reason}
			for _, ref := range args {
				found, err := a.findAnswer(cmd.Context(), ref)
				if err != nil {
					return err
				}
				what.Answers = append(what.Answers, found.ID)
			}
			return a.forget(cmd.Context(), what)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the log")
	return cmd
}

// forget asks for it and waits until the read models show it.
func (a *commands) forget(ctx context.Context, what events.AnswersForgotten) error {
	c, ping, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	if a.Settings.IsSystem() && !ping.MayChange {
		return &events.Error{Op: "cli.forget", Kind: events.ErrConfirmation, Subject: "the system's cache", Err: errors.New("only root may change it"), Hint: "run the command as root"}
	}
	status, err := c.Status(ctx)
	if err != nil {
		return err
	}
	id, err := a.Producer(c, ping.Host).RequestForget(ctx, what)
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, app.AnswerTimeout)
	defer cancel()
	for l, err := range c.Events(waiting, client.StreamOptions{After: status.Head, Kind: string(events.KindAnswersForgotten), Follow: true}) {
		if err != nil {
			return fmt.Errorf("wait for the cache to forget: %w", err)
		}
		if l.Event == nil || l.Event.Correlation != id {
			continue
		}
		if err := c.WaitProjected(waiting, l.Event.Position); err != nil {
			return err
		}
		return a.PrintResult(map[string]any{"version": 1, "forgotten": what, "position": l.Event.Position}, func(io.Writer) { a.Infof("forgotten") })
	}
	return &events.Error{Op: "cli.forget", Kind: events.ErrUnavailable, Subject: "cache", Err: errors.New("the daemon did not answer in time"), Hint: "see 'cortex status'"}
}
