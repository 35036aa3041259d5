package eventscmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/api"
	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/client"
	"cortex/cmd/output"
	"cortex/events"
)

func newEvents(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "events", Short: "Read the log of facts itself", Args: cmdutil.CheckArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newEventsList(a), newEventsTail(a), newEventsShow(a), newEventsExport(a), newEventsRetry(a))
	return cmd
}

// filterFlags registers the flags that choose events.
func filterFlags(cmd *cobra.Command, s *app.EventFilter) {
	f := cmd.Flags()
	f.StringVar(&s.Kind, "type", "", "only kinds that match, such as 'install.*' or '*.failed'")
	f.StringVar(&s.Since, "since", "", "only those since: a date, a time, or a span such as 2h or 7d")
	f.StringVar(&s.Transaction, "transaction", "", "only those of this transaction")
	f.Uint64Var(&s.After, "after", 0, "only those after this position")
	f.IntVarP(&s.Limit, "limit", "n", 0, "at most so many")
}

func newEventsList(a *commands) *cobra.Command {
	var s app.EventFilter
	cmd := &cobra.Command{
		Use: "list", Short: "List facts, oldest first", Args: cmdutil.CheckArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := []events.Record{}
			err := a.EachEvent(cmd.Context(), s, false, func(r events.Record) error {
				if a.JSON {
					list = append(list, r)
				} else {
					output.EventLine(a.Stdout, r, time.Local)
				}
				return nil
			})
			if err != nil || !a.JSON {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "events": list}, nil)
		},
	}
	filterFlags(cmd, &s)
	return cmd
}

func newEventsTail(a *commands) *cobra.Command {
	var s app.EventFilter
	cmd := &cobra.Command{
		Use: "tail", Short: "Show facts as they are recorded", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: "Show facts as they are recorded, from now on, or from --after on. It goes on over restarts of the daemon; Ctrl-C ends it.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("after") && s.Since == "" {
				head, err := a.head(cmd)
				if err != nil {
					return err
				}
				s.After = uint64(head)
			}
			e := json.NewEncoder(a.Stdout)
			return a.EachEvent(cmd.Context(), s, true, func(r events.Record) error {
				if a.JSON {
					return e.Encode(r)
				}
				output.EventLine(a.Stdout, r, time.Local)
				return nil
			})
		},
	}
	filterFlags(cmd, &s)
	return cmd
}

func (a *commands) head(cmd *cobra.Command) (events.Position, error) {
	c, _, err := a.Connect(cmd.Context())
	if err != nil {
		return 0, err
	}
	status, err := c.Status(cmd.Context())
	return status.Head, err
}

func newEventsShow(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "show POSITION", Short: "Show one fact with its whole envelope", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseUint(args[0], 10, 63)
			if err != nil || n == 0 {
				return &events.Error{Op: "cli", Kind: events.ErrUsage, Subject: fmt.Sprintf("%q", args[0]), Err: fmt.Errorf("is not a position"), Hint: "positions are the numbers that 'cortex events list' shows"}
			}
			var found *events.Record
			err = a.EachEvent(cmd.Context(), app.EventFilter{After: n - 1, Limit: 1}, false, func(r events.Record) error {
				found = &r
				return nil
			})
			if err != nil {
				return err
			}
			if found == nil {
				return &events.Error{Op: "cli", Kind: events.ErrNotFound, Subject: "event " + args[0], Hint: "see 'cortex events list'"}
			}
			e := json.NewEncoder(a.Stdout)
			e.SetIndent("", "  ")
			return e.Encode(found)
		},
	}
}

func newEventsExport(a *commands) *cobra.Command {
	var s app.EventFilter
	var to string
	cmd := &cobra.Command{
		Use: "export", Short: "Write facts as CloudEvents, a line each", Args: cmdutil.CheckArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" {
				return a.export(cmd, s, a.Stdout)
			}
			f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return fmt.Errorf("export: %w", err)
			}
			if err := a.export(cmd, s, f); err != nil {
				f.Close()
				return err
			}
			if err := f.Sync(); err != nil {
				return fmt.Errorf("export: %w", err)
			}
			return f.Close()
		},
	}
	filterFlags(cmd, &s)
	cmd.Flags().StringVarP(&to, "output", "o", "", "write to this new file instead of stdout")
	return cmd
}

func (a *commands) export(cmd *cobra.Command, s app.EventFilter, w io.Writer) error {
	e := json.NewEncoder(w)
	return a.EachEvent(cmd.Context(), s, false, func(r events.Record) error { return e.Encode(r) })
}

func newEventsRetry(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "retry ID", Short: "Give a parked event to its handler again", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		Long: "Give an event that its handler gave up on to it again. 'cortex status' lists them with their ids.",
		RunE: func(cmd *cobra.Command, args []string) error {
			id := events.ID(args[0])
			if err := id.Validate(); err != nil {
				return cmdutil.UsageError(cmd, err)
			}
			c, ping, err := a.Connect(cmd.Context())
			if err != nil {
				return err
			}
			is, err := parkedStill(cmd.Context(), c, id)
			if err != nil {
				return err
			}
			if !is {
				return notParked(id)
			}
			if err := a.Producer(c, ping.Host).Retry(cmd.Context(), id); err != nil {
				return err
			}
			return a.retried(cmd.Context(), c, id)
		},
	}
}

func notParked(id events.ID) error {
	return &events.Error{Op: "cli.retry", Kind: events.ErrNotFound, Subject: string(id), Err: errors.New("no parked event has this id"), Hint: "'cortex status' lists them"}
}

func parkedStill(ctx context.Context, c *client.Client, id events.ID) (bool, error) {
	s, err := c.Status(ctx)
	return slices.ContainsFunc(s.DeadLetters, func(p api.DeadLetterStatus) bool { return p.ID == id }), err
}

// retried waits until what was given to its handler again is not parked any more.
func (a *commands) retried(ctx context.Context, c *client.Client, id events.ID) error {
	for end := time.Now().Add(retryPatience); time.Now().Before(end); {
		is, err := parkedStill(ctx, c, id)
		if err != nil {
			return err
		}
		if !is {
			return a.PrintResult(map[string]any{"version": 1, "retried": id}, func(io.Writer) { a.Infof("its handler has done it now") })
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return &events.Error{Op: "cli.retry", Kind: events.ErrUnavailable, Subject: string(id), Err: errors.New("its handler did not take it"), Hint: "'cortex status' tells why, 'cortex logs' more"}
}

// retryPatience is how long a handler has for what it is given again.
const retryPatience = 15 * time.Second
