package cmdutil

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cortex/events"
	"cortex/projections/history"
)

// Limits of what is offered.
const (
	maxTransactions   = 30
	maxPackages       = 500
	completionTimeout = 2 * time.Second
)

// CompletePackages offers packages that apt knows, with descriptions if there is an index.
// It offers nothing for an empty prefix, which would be every package.
func (c *Context) CompletePackages(_ *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if c.LoadSettings() != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	if prefix == "" {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
	defer cancel()
	found, err := c.PackagesWithPrefix(ctx, prefix, maxPackages)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, p := range found {
		name := p.Name
		if p.Description != "" {
			name += "\t" + p.Description
		}
		names = append(names, name)
	}
	return without(names, args), cobra.ShellCompDirectiveNoFileComp
}

// CompleteInstalled offers installed packages.
func (c *Context) CompleteInstalled(_ *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if c.LoadSettings() != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
	defer cancel()
	names, err := c.InstalledWithPrefix(ctx, prefix)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return without(names, args), cobra.ShellCompDirectiveNoFileComp
}

// without removes the names that are on the command line already.
func without(names, args []string) []string {
	return slices.DeleteFunc(names, func(n string) bool {
		name, _, _ := strings.Cut(n, "\t")
		return slices.Contains(args, name)
	})
}

// CompleteTransactions offers the newest transactions for the first argument.
func (c *Context) CompleteTransactions(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.completeFrom(cmd, history.Filter{Limit: maxTransactions}, func(t history.TransactionRow) string {
		return fmt.Sprintf("%d\t%s %s (%s)", t.Number, t.Verb, t.Summary, t.State)
	})
}

// CompletePlans offers the plans that wait for approval.
func (c *Context) CompletePlans(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.completeFrom(cmd, history.Filter{Limit: maxTransactions, State: events.StatePlanned}, func(t history.TransactionRow) string {
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
