package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"cortex/consumers/apt"
	"cortex/events"
	"cortex/projections/history"
)

// completions bounds how many transactions are offered.
const completions = 30

func (a *App) completePackages(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if a.prepare(cmd, nil) != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	names, err := apt.New(apt.Config{Root: a.settings.Root}).Names(ctx, prefix)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (a *App) completeTransactions(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeFrom(cmd, history.Filter{Limit: completions}, func(t history.Transaction) string {
		return fmt.Sprintf("%d\t%s %s (%s)", t.Number, t.Verb, t.Summary, t.State)
	})
}

func (a *App) completePlans(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeFrom(cmd, history.Filter{Limit: completions, State: events.StatePlanned}, func(t history.Transaction) string {
		return fmt.Sprintf("%s\t%s %s", t.PlanID, t.Verb, t.Summary)
	})
}

func (a *App) completeFrom(cmd *cobra.Command, f history.Filter, word func(history.Transaction) string) ([]string, cobra.ShellCompDirective) {
	if a.prepare(cmd, nil) != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	err := a.askHistory(context.Background(), func(r *history.Reader) error {
		list, err := r.List(context.Background(), f)
		for _, t := range list {
			out = append(out, word(t))
		}
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}
