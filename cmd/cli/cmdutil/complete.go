package cmdutil

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/openindex"
	"cortex/consumers/machine/apt"
	"cortex/events"
	"cortex/projections/history"
)

// How many transactions and names are offered at most.
const (
	completions = 30
	maxNames    = 500
)

// CompletePackages offers what apt knows, with descriptions where there is an index.
// Without a first letter that would be every package there is, so nothing is offered.
func (c *Context) CompletePackages(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if c.LoadSettings() != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	if prefix == "" {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	names, err := c.namesFrom(ctx, prefix)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return besides(names, args), cobra.ShellCompDirectiveNoFileComp
}

// namesFrom asks the index of packages, which takes milliseconds, and without one apt,
// which takes half a second where it has no cache of its own.
func (c *Context) namesFrom(ctx context.Context, prefix string) ([]string, error) {
	index := openindex.OpenFresh(ctx, openindex.LocationFor(c.Settings, c.Env))
	if index == nil {
		return apt.New(apt.Config{Root: c.Settings.Root}).PackageNames(ctx, prefix)
	}
	defer index.Close()
	found, err := index.WithPrefix(ctx, prefix, maxNames)
	var names []string
	for _, f := range found {
		names = append(names, string(f.Name)+"\t"+f.Description)
	}
	return names, err
}

// CompleteInstalled offers what is installed.
func (c *Context) CompleteInstalled(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if c.LoadSettings() != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	inv, err := apt.New(apt.Config{Root: c.Settings.Root}).Inventory(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, p := range inv.Packages() {
		if p.Status != events.StatusNotInstalled && strings.HasPrefix(string(p.Name), prefix) {
			names = append(names, string(p.Name))
		}
	}
	slices.Sort(names)
	return besides(slices.Compact(names), args), cobra.ShellCompDirectiveNoFileComp
}

// besides leaves out what is on the line already.
func besides(names, args []string) []string {
	return slices.DeleteFunc(names, func(n string) bool {
		name, _, _ := strings.Cut(n, "\t")
		return slices.Contains(args, name)
	})
}

func (c *Context) CompleteTransactions(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.completeFrom(cmd, history.Filter{Limit: completions}, func(t history.TransactionRow) string {
		return fmt.Sprintf("%d\t%s %s (%s)", t.Number, t.Verb, t.Summary, t.State)
	})
}

func (c *Context) CompletePlans(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.completeFrom(cmd, history.Filter{Limit: completions, State: events.StatePlanned}, func(t history.TransactionRow) string {
		return fmt.Sprintf("%s\t%s %s", t.PlanID, t.Verb, t.Summary)
	})
}

func (c *Context) completeFrom(cmd *cobra.Command, f history.Filter, word func(history.TransactionRow) string) ([]string, cobra.ShellCompDirective) {
	if c.LoadSettings() != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	err := c.QueryHistory(context.Background(), func(r *history.Reader) error {
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
