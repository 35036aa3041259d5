package limitscmd

import (
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/output"
	"cortex/events"
	model "cortex/projections/limits"
)

func newLimitsWatch(a *commands) *cobra.Command {
	var once bool
	every := time.Second
	cmd := &cobra.Command{
		Use: "watch [GROUP…]", Short: "Watch the usage of limited groups", ValidArgsFunction: a.completeUnits,
		Long: `Watch the usage and the limits of groups, once a second, until it is interrupted or no
group is left. With --json each sample is one line.`,
		Example: "  cortex limits watch\n  cortex limits watch --once --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			var before map[string]events.LimitUsage
			for {
				groups, err := a.watched(cmd, args)
				if err != nil {
					return err
				}
				if a.JSON {
					err = json.NewEncoder(a.Stdout).Encode(map[string]any{"version": model.FormatVersion, "groups": groups})
				} else {
					output.LimitUsages(a.Stdout, groups, before, every)
				}
				if err != nil || once || len(groups) == 0 {
					return err
				}
				before = map[string]events.LimitUsage{}
				for _, g := range groups {
					before[g.Unit] = *g.Usage
				}
				select {
				case <-ctx.Done():
					return nil // an interrupt ends the watch
				case <-time.After(every):
				}
			}
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "print one sample and exit")
	cmd.Flags().DurationVar(&every, "interval", every, "time between two samples")
	return cmd
}

// watched returns the named groups, or all, that are running.
func (a *commands) watched(cmd *cobra.Command, names []string) ([]output.LimitGroup, error) {
	var list []model.LimitedGroup
	var err error
	if len(names) == 0 {
		list, err = a.applied(cmd.Context(), model.Filter{OnlyActive: true})
	}
	for _, unit := range names {
		err = a.readModelLimit(cmd, unit, &list)
		if err != nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	out := []output.LimitGroup{}
	for _, g := range a.present(cmd.Context(), list) {
		if g.Usage != nil {
			out = append(out, g)
		}
	}
	return out, nil
}

func (a *commands) readModelLimit(cmd *cobra.Command, unit string, list *[]model.LimitedGroup) error {
	found := false
	err := a.readLimits(cmd.Context(), func(r *model.Reader) error {
		g, err := r.Find(cmd.Context(), unit)
		*list, found = append(*list, g), err == nil
		return err
	})
	if err == nil && !found {
		return a.NoHistory()
	}
	return err
}
