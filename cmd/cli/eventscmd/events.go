package eventscmd

import (
	"encoding/json"
	"io"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/events"
)

func newEvents(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "events", Short: "List, follow and export the events of the log", Args: cmdutil.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newEventsList(a), newEventsTail(a), newEventsShow(a), newEventsExport(a), newEventsRetry(a))
	return cmd
}

// filterFlags registers the flags that select events.
func filterFlags(cmd *cobra.Command, s *app.EventFilter) {
	f := cmd.Flags()
	f.StringVar(&s.Kind, "type", "", "select kinds that match, such as 'install.*' or '*.failed'")
	f.StringVar(&s.Since, "since", "", "select events since this time: a date, a time, or an age such as 2h or 7d")
	f.StringVar(&s.Transaction, "transaction", "", "select events of this transaction")
	f.Uint64Var(&s.After, "after", 0, "select events after this position")
	f.IntVarP(&s.Limit, "limit", "n", 0, "stop after N events (0: no limit)")
}

func newEventsList(a *commands) *cobra.Command {
	var s app.EventFilter
	cmd := &cobra.Command{
		Use: "list", Short: "List events, oldest first", Args: cmdutil.Args(0, 0),
		Example: "  cortex events list --type 'install.*' --since 2h\n  cortex events list --transaction 12",
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
		Use: "tail", Short: "Show events as they are recorded", Args: cmdutil.Args(0, 0),
		Long: `Show events as they are recorded, from now on, or after the position in --after. The command
continues when the daemon restarts. Ctrl-C ends it.`,
		Example: "  cortex events tail\n  cortex events tail --after 120 --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("after") && s.Since == "" {
				head, err := a.LogHead(cmd.Context())
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

func newEventsShow(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "show POSITION", Short: "Show one event with its envelope", Args: cmdutil.Args(1, 1),
		Example: "  cortex events show 120",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := app.ParsePosition(args[0])
			if err != nil {
				return err
			}
			r, err := a.EventAt(cmd.Context(), p)
			if err != nil {
				return err
			}
			e := json.NewEncoder(a.Stdout)
			e.SetIndent("", "  ")
			return e.Encode(r)
		},
	}
}

func newEventsExport(a *commands) *cobra.Command {
	var s app.EventFilter
	var file string
	cmd := &cobra.Command{
		Use: "export", Short: "Export events as CloudEvents, one per line", Args: cmdutil.Args(0, 0),
		Example: "  cortex events export -o events.ndjson",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.WriteOutput(file, func(w io.Writer) error {
				e := json.NewEncoder(w)
				return a.EachEvent(cmd.Context(), s, false, func(r events.Record) error { return e.Encode(r) })
			})
		},
	}
	filterFlags(cmd, &s)
	cmd.Flags().StringVarP(&file, "output", "o", "", "write to this new file (default: standard output)")
	return cmd
}

func newEventsRetry(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "retry ID", Short: "Retry a failed event (dead letter)", Args: cmdutil.Args(1, 1),
		Long:    "Deliver a failed event (dead letter) to its handler again. 'cortex status' lists failed events with\ntheir ids.",
		Example: "  cortex status\n  cortex events retry 01a20a8b-e7b4-7ce9-9a10-2b699f47bba1",
		RunE: func(cmd *cobra.Command, args []string) error {
			id := events.ID(args[0])
			if err := id.Validate(); err != nil {
				return cmdutil.UsageError(cmd, err)
			}
			if err := a.RetryEvent(cmd.Context(), id); err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "retried": id}, func(io.Writer) { a.Infof("the event was processed") })
		},
	}
}
