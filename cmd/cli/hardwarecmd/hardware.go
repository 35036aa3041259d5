package hardwarecmd

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/events"
	model "cortex/projections/hardware"
)

func newHardware(a *commands) *cobra.Command {
	var keys []string
	cmd := &cobra.Command{
		Use: "hardware [--facts KEY…]", Short: "Show the hardware of this machine",
		Long: `Show the hardware of this machine: processor, memory, graphics, disks, firmware and limits. It
is read now, without a daemon and without root. Every fact has a value, its source and its
confidence, or the reason why the value is unknown. --facts shows the facts whose keys
match; * matches anything.`,
		Example: "  cortex hardware\n  cortex hardware --facts 'cpu.*' memory.total_b\n  cortex hardware --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && !cmd.Flags().Changed("facts") {
				return cmdutil.UsageError(cmd, fmt.Errorf("no command 'hardware %s'", args[0]))
			}
			return a.hardware(cmd.Context(), append(keys, args...))
		},
	}
	cmd.Flags().StringSliceVar(&keys, "facts", nil, "show the facts with these keys (default: a summary)")
	_ = cmd.RegisterFlagCompletionFunc("facts", a.completeFacts)
	cmd.AddCommand(newHardwareHistory(a), newHardwareDiff(a), newHardwareRecommend(a), newHardwareSnapshot(a))
	return cmd
}

func (a *commands) completeFacts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	if a.LoadSettings() != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	if r, err := a.ReadHardware(context.Background()); err == nil {
		for _, f := range r.Facts {
			out = append(out, f.Key+"\t"+f.Value.String())
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// hardwareView is a reading as JSON.
type hardwareView struct {
	Version int                   `json:"version"`
	BootID  string                `json:"boot_id,omitempty"`
	Devices string                `json:"devices"`
	TookUs  int64                 `json:"took_us"`
	Facts   []events.HardwareFact `json:"facts"`
}

func (a *commands) hardware(ctx context.Context, keys []string) error {
	r, err := a.ReadHardware(ctx)
	if err != nil {
		return err
	}
	facts, err := app.SelectFacts(r.Facts, keys)
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

func newHardwareHistory(a *commands) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "history", Short: "List recorded hardware snapshots, newest last", Args: cmdutil.Args(0, 0),
		Long: `List the recorded hardware snapshots, newest last. The daemon records one when it starts and
the hardware has changed, before it plans drivers or firmware, and at
'cortex hardware snapshot'.`,
		Example: "  cortex hardware history -n 5",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := a.HardwareSnapshots(cmd.Context(), limit)
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": model.FormatVersion, "snapshots": list}, func(w io.Writer) {
				output.HardwareHistory(w, list, time.Local)
			})
		},
	}
	cmd.Flags().IntVarP(&limit, "limit", "n", 50, "show at most N, newest first (0: all)")
	return cmd
}

func newHardwareDiff(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "diff [A [B]]", Short: "Compare two hardware snapshots", Args: cmdutil.Args(0, 2),
		Long: `Compare the stable facts of two hardware snapshots. A and B are positions from
'cortex hardware history', last, last-N, or now. The defaults are last and now.`,
		Example:   "  cortex hardware diff\n  cortex hardware diff last-1 last",
		ValidArgs: []string{"last", "last-1", "now"},
		RunE: func(cmd *cobra.Command, args []string) error {
			refs := []string{"last", "now"}
			copy(refs, args)
			changes, err := a.HardwareDiff(cmd.Context(), refs[0], refs[1])
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "from": refs[0], "to": refs[1], "changes": changes}, func(w io.Writer) {
				output.HardwareDiff(w, changes)
			})
		},
	}
}

func newHardwareSnapshot(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "snapshot", Short: "Record a hardware snapshot now", Args: cmdutil.Args(0, 0),
		Long:    "Record a hardware snapshot now, even if the hardware has not changed.",
		Example: "  cortex hardware snapshot",
		RunE: func(cmd *cobra.Command, _ []string) error {
			at, err := a.RecordHardware(cmd.Context())
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "position": at}, func(w io.Writer) { fmt.Fprintf(w, "snapshot %d recorded\n", at) })
		},
	}
}
