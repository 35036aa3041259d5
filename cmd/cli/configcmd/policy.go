package configcmd

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/iostreams"
	"cortex/cmd/config"
	"cortex/cmd/output"
	"cortex/cmd/units"
	"cortex/events"
)

func newPolicy(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "policy", Short: "Check the rules that deny plans", Args: cmdutil.Args(0, 0),
		Long: `Check the rules that deny plans. Some rules are built in and cannot be overridden. Your own
rules are in ` + config.PolicyDir + `/*.yaml: CEL expressions that deny a plan when they
are true:

  rules:
    - name: few-removals
      deny: size(plan.removed) > 3
      message: more than three packages would be removed
    - name: only-debian
      deny: plan.changes.exists(c, c.to != "" && !c.origin.startsWith("Debian:"))
    - name: not-at-night
      deny: verb == "upgrade" && (hour < 6 || hour > 21)

An expression can use verb, words, plan, who, now, hour, minute and weekday; see
docs/policy.md. A rule that cannot be evaluated denies the plan: while a file is invalid,
every plan is denied. A denied request is in the history, and its exit code is 5.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPolicyList(a), newPolicyCheck(a), newPolicyTest(a))
	return cmd
}

func newPolicyList(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the rules in the order of evaluation", Args: cmdutil.Args(0, 0),
		Example: "  cortex policy list",
		RunE: func(*cobra.Command, []string) error {
			list, version, err := a.PolicyRules()
			if version == "" && err != nil {
				return err
			}
			view := map[string]any{"version": 1, "policy": version, "rules": list}
			return errors.Join(a.PrintResult(view, func(w io.Writer) { output.PolicyRules(w, list, version) }), err)
		},
	}
}

func newPolicyCheck(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "check [PLAN-ID|ID]", Short: "Check the rules, or a plan against the rules", Args: cmdutil.Args(0, 1),
		Long: `Without an argument, check that every rule file is valid. With a plan id or a transaction,
evaluate its plan with the rules as they are now; the exit code is 5 if a rule denies it.`,
		Example:           "  cortex policy check\n  cortex policy check 4356b85bbf9e",
		ValidArgsFunction: a.CompleteTransactions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return a.checkPlan(cmd.Context(), args[0])
			}
			list, version, err := a.PolicyRules()
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "policy": version, "rules": len(list)}, func(w io.Writer) {
				fmt.Fprintf(w, "%s, version %s\n", units.Count(len(list), "rule"), version)
			})
		},
	}
}

func (a *commands) checkPlan(ctx context.Context, ref string) error {
	v, err := a.CheckPlan(ctx, ref)
	if err != nil {
		return err
	}
	view := map[string]any{"version": 1, "policy": v.Version, "transaction": v.Transaction, "denial": v.Denial}
	err = a.PrintResult(view, func(w io.Writer) {
		if v.Denial == nil {
			fmt.Fprintf(w, "transaction %d: allowed\n", v.Transaction)
		}
	})
	if err == nil && v.Denial != nil {
		return &events.Error{Op: "cli", Kind: events.ErrDenied, Subject: v.Denial.Rule, Err: errors.New(v.Denial.Message)}
	}
	return err
}

func newPolicyTest(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "test FILE", Short: "Test the rules with the cases in a file", Args: cmdutil.Args(1, 1),
		Long: `Evaluate the test cases in a YAML file with the current rules. Each case describes a plan and
the wanted result: allow, or the name of the rule that denies it. The exit code is 1 if a
result differs.

  cases:
    - name: a purge of four
      verb: purge
      changes: [{name: a, action: purge, from: "1"}, {name: b, action: purge, from: "1"},
                {name: c, action: purge, from: "1"}, {name: d, action: purge, from: "1"}]
      who: {uid: 0, user: root}
      now: 2026-11-23T12:00:00Z
      want: few-removals`,
		Example: "  cortex policy test /etc/cortex/policy.d/cases.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			results, err := a.TestPolicy(args[0])
			if err != nil {
				return err
			}
			failed := false
			for _, r := range results {
				failed = failed || !r.OK
			}
			err = a.PrintResult(map[string]any{"version": 1, "cases": results}, func(w io.Writer) { output.PolicyCases(w, results) })
			if err == nil && failed {
				return iostreams.ExitCode(1)
			}
			return err
		},
	}
}
