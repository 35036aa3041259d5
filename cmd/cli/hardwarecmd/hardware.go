package hardwarecmd

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/client"
	"cortex/cmd/output"
	"cortex/events"
	model "cortex/projections/hardware"
)

// surveyTimeout bounds how long a snapshot that was asked for may take.
const surveyTimeout = 30 * time.Second

func newHardware(a *commands) *cobra.Command {
	var keys []string
	cmd := &cobra.Command{
		Use: "hardware [--facts KEY…]", Short: "What this machine is: processor, memory, graphics, disks, firmware, limits",
		Long: `What this machine is, read now; no daemon and no root are needed. Every fact has a
value, its source and how far it can be relied on, or says why it has no value.
With --facts only those whose key is given or matches, where * stands for anything.

  cortex hardware
  cortex hardware --facts 'cpu.*' memory.total_b
  cortex hardware --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && !cmd.Flags().Changed("facts") {
				return cmdutil.UsageError(cmd, fmt.Errorf("there is no command 'hardware %s'", args[0]))
			}
			return a.hardware(cmd.Context(), append(keys, args...))
		},
	}
	cmd.Flags().StringSliceVar(&keys, "facts", nil, "only these facts")
	_ = cmd.RegisterFlagCompletionFunc("facts", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return a.factKeys(cmd), cobra.ShellCompDirectiveNoFileComp
	})
	cmd.AddCommand(newHardwareHistory(a), newHardwareDiff(a), newHardwareRecommend(a), newHardwareSnapshot(a))
	return cmd
}

// hardwareView is a reading as JSON.
type hardwareView struct {
	Version int                   `json:"version"`
	BootID  string                `json:"boot_id,omitempty"`
	Devices string                `json:"devices"`
	TookUs  int64                 `json:"took_us"`
	Facts   []events.HardwareFact `json:"facts"`
}

func (a *commands) factKeys(cmd *cobra.Command) []string {
	if a.LoadSettings() != nil {
		return nil
	}
	r, err := a.ReadHardware(context.Background())
	if err != nil {
		return nil
	}
	var out []string
	for _, f := range r.Facts {
		out = append(out, f.Key+"\t"+f.Value.String())
	}
	return out
}

func (a *commands) hardware(ctx context.Context, keys []string) error {
	r, err := a.ReadHardware(ctx)
	if err != nil {
		return err
	}
	facts, err := selectFacts(r.Facts, keys)
	if err != nil {
		return err
	}
	view := hardwareView{Version: 1, BootID: r.BootID, Devices: r.Devices, TookUs: r.Duration.Microseconds(), Facts: facts}
	return a.PrintResult(view, func(w io.Writer) {
		if len(keys) > 0 {
			output.HardwareFacts(w, facts)
			return
		}
		output.Hardware(w, facts)
	})
}

// selectFacts keeps those that any key names; a key that names none is an error.
func selectFacts(facts []events.HardwareFact, keys []string) ([]events.HardwareFact, error) {
	if len(keys) == 0 {
		return facts, nil
	}
	out := []events.HardwareFact{}
	used := map[string]bool{}
	for _, f := range facts {
		for _, k := range keys {
			if events.Kind(f.Key).Match(k) {
				used[k] = true
				if len(out) == 0 || out[len(out)-1].Key != f.Key {
					out = append(out, f)
				}
			}
		}
	}
	for _, k := range keys {
		if !used[k] {
			return nil, &events.Error{Op: "cli.hardware", Kind: events.ErrNotFound, Subject: k, Err: errors.New("this machine has no such fact"), Hint: "'cortex hardware --facts \"*\"' lists all"}
		}
	}
	return out, nil
}

func (a *commands) readHardware(ctx context.Context, ask func(*model.Reader) error) error {
	return a.ReadModel(ctx, model.Name, func(db *sql.DB) error { return ask(model.NewReader(db)) })
}

func newHardwareHistory(a *commands) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "history", Short: "List the hardware snapshots on record, newest last", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `List the hardware snapshots on record, newest last. The daemon takes one when it
starts and something is new, before a plan for drivers or firmware, and when asked
by 'cortex hardware snapshot'.

  cortex hardware history -n 5`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := []model.SnapshotSummary{}
			err := a.readHardware(cmd.Context(), func(r *model.Reader) (err error) {
				list, err = r.List(cmd.Context(), limit)
				return err
			})
			if err != nil && a.HasLog() { // a machine without a history has an empty one
				return err
			}
			return a.PrintResult(map[string]any{"version": model.FormatVersion, "snapshots": list}, func(w io.Writer) {
				output.HardwareHistory(w, list, time.Local)
			})
		},
	}
	cmd.Flags().IntVarP(&limit, "limit", "n", 50, "at most so many, the newest; 0 for all")
	return cmd
}

func newHardwareDiff(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "diff [A [B]]", Short: "What differs between two snapshots, or a snapshot and now", Args: cmdutil.CheckArgs(cobra.MaximumNArgs(2)),
		Long: `What differs in the stable facts of two snapshots. A and B are positions from
'cortex hardware history', last, last-N, or now; without them last and now.

  cortex hardware diff
  cortex hardware diff last-1 last`,
		ValidArgs: []string{"last", "last-1", "now"},
		RunE: func(cmd *cobra.Command, args []string) error {
			from, to := "last", "now"
			if len(args) > 0 {
				from = args[0]
			}
			if len(args) > 1 {
				to = args[1]
			}
			before, err := a.factsOf(cmd.Context(), from)
			if err != nil {
				return err
			}
			after, err := a.factsOf(cmd.Context(), to)
			if err != nil {
				return err
			}
			changes := events.DiffHardware(before, after)
			return a.PrintResult(map[string]any{"version": 1, "from": from, "to": to, "changes": changes}, func(w io.Writer) {
				output.HardwareDiff(w, changes)
			})
		},
	}
}

// app.Facts gives the facts of what a person names.
func (a *commands) factsOf(ctx context.Context, ref string) (facts []events.HardwareFact, err error) {
	if ref == "now" {
		r, err := a.ReadHardware(ctx)
		return r.Facts, err
	}
	back, isLast := strings.CutPrefix(ref, "last")
	n, err := strconv.ParseUint(strings.TrimPrefix(cmp.Or(back, "-0"), "-"), 10, 31)
	if !isLast {
		n, err = strconv.ParseUint(ref, 10, 63)
	}
	if err != nil || isLast && back != "" && back[0] != '-' {
		return nil, &events.Error{Op: "cli.hardware", Kind: events.ErrUsage, Subject: fmt.Sprintf("%q", ref), Err: errors.New("is no snapshot"), Hint: "write a position from 'cortex hardware history', last, last-1 or now"}
	}
	err = a.readHardware(ctx, func(r *model.Reader) error {
		at := events.Position(n)
		if isLast {
			list, err := r.List(ctx, int(n)+1)
			if err != nil {
				return err
			}
			if len(list) <= int(n) {
				return &events.Error{Op: "cli.hardware", Kind: events.ErrNotFound, Subject: ref, Err: errors.New("there are not so many snapshots"), Hint: "see 'cortex hardware history'"}
			}
			at = list[0].Position
		}
		facts, err = r.Facts(ctx, at)
		return err
	})
	return facts, err
}

func newHardwareSnapshot(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "snapshot", Short: "Put on record how the hardware is now", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: "Put on record how the hardware is now, also when nothing is new. It changes nothing on the machine.\n\n  cortex hardware snapshot",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.snapshot(cmd.Context()) },
	}
}

func (a *commands) snapshot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, surveyTimeout)
	defer cancel()
	c, ping, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	status, err := c.Status(ctx)
	if err != nil {
		return err
	}
	id, err := a.Producer(c, ping.Host).RequestHardwareSnapshot(ctx)
	if err != nil {
		return err
	}
	sel := client.StreamOptions{After: status.Head, Kind: string(events.KindHardwareSnapshot), Follow: true}
	for l, err := range c.Events(ctx, sel) {
		if err != nil {
			return err
		}
		if l.Event == nil || l.Event.Causation != id {
			continue
		}
		if err := c.WaitProjected(ctx, l.Event.Position); err != nil {
			return err
		}
		return a.PrintResult(map[string]any{"version": 1, "position": l.Event.Position}, func(w io.Writer) {
			fmt.Fprintf(w, "snapshot %d is on record\n", l.Event.Position)
		})
	}
	return &events.Error{Op: "cli.hardware", Kind: events.ErrUnavailable, Subject: "hardware snapshot", Err: errors.New("none came in time"), Hint: "see 'cortex status'"}
}
