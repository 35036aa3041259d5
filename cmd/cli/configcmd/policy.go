package configcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/iostreams"
	"cortex/cmd/config"
	"cortex/cmd/output"
	"cortex/consumers/policy"
	"cortex/events"
)

func newPolicy(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "policy", Short: "What may not happen on this machine", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `What may not happen on this machine, whoever asks for it in whatever words: some
invariants are built in and cannot be overridden; above them stand rules of your own
in ` + config.PolicyDir + `/*.yaml, expressions in CEL over the plan:

  rules:
    - name: few-removals
      deny: size(plan.removed) > 3
      message: more than three packages would be removed
    - name: only-debian
      deny: plan.changes.exists(c, c.to != "" && !c.origin.startsWith("Debian:"))
    - name: not-at-night
      deny: verb == "upgrade" && (hour < 6 || hour > 21)

An expression may speak of verb, words, plan, who, now, hour, minute and weekday; see
docs/policy.md. A file that is wrong forbids everything until it is mended. What was
denied is in the history, and its command's exit code is 5.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPolicyList(a), newPolicyCheck(a), newPolicyTest(a))
	return cmd
}

// policy gives the policy; a program without an engine becomes the one that has it.
func (a *commands) policy() (app.Policy, error) {
	if a.Engine.Policy == nil {
		return nil, a.BecomeEngine()
	}
	return a.Engine.Policy(a.Settings), nil
}

// filesFault is what is wrong with the files of rules, as a command's error.
func filesFault(err error) error {
	if err == nil {
		return nil
	}
	return &events.Error{Op: "cli.policy", Kind: events.ErrUsage, Err: err, Hint: "until they are mended every plan is denied"}
}

func newPolicyList(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the rules, in the order in which they judge", Args: cmdutil.CheckArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			p, err := a.policy()
			if err != nil {
				return err
			}
			list, version, fault := p.List()
			err = a.PrintResult(map[string]any{"version": 1, "policy": version, "rules": list}, func(w io.Writer) { output.PolicyRules(w, list, version) })
			return errors.Join(err, filesFault(fault))
		},
	}
}

func newPolicyCheck(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "check [PLAN-ID|ID]", Short: "Look whether the rules are sound, or what they say of a plan now", Args: cmdutil.CheckArgs(cobra.MaximumNArgs(1)),
		Long:              "Without an argument: whether every rule can be read and understood. With a plan's id or a transaction: whether the rules as they are now would let its plan run; exit 5 when not.",
		ValidArgsFunction: a.CompleteTransactions,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.policy()
			if err != nil {
				return err
			}
			list, version, fault := p.List()
			if fault != nil {
				return filesFault(fault)
			}
			if len(args) == 0 {
				return a.PrintResult(map[string]any{"version": 1, "policy": version, "rules": len(list)}, func(w io.Writer) {
					fmt.Fprintf(w, "%s, version %s\n", output.Count(len(list), "rule"), version)
				})
			}
			return a.checkPlan(cmd.Context(), p, args[0])
		},
	}
}

// checkPlan judges the plan of a transaction again.
func (a *commands) checkPlan(ctx context.Context, p app.Policy, ref string) error {
	d, err := a.ResolveTransaction(ctx, ref)
	if err != nil {
		return err
	}
	if d.Plan == nil {
		return &events.Error{Op: "cli.policy", Kind: events.ErrNotFound, Subject: fmt.Sprintf("transaction %d", d.Number), Err: errors.New("it has no plan")}
	}
	c := policy.Input{
		Plan:   events.Plan{Changes: d.Plan.Changes, DownloadBytes: d.Plan.DownloadBytes, DiskDelta: d.Plan.DiskDelta},
		Intent: events.Intent{Verb: d.Verb, CommandLine: d.CommandLine}, Actor: d.Actor, Now: time.Now(),
	}
	v, version := p.Evaluate(c)
	err = a.PrintResult(map[string]any{"version": 1, "policy": version, "transaction": d.Number, "denial": v}, func(w io.Writer) {
		if v == nil {
			fmt.Fprintf(w, "transaction %d: allowed\n", d.Number)
		}
	})
	if err == nil && v != nil {
		return &events.Error{Op: "cli.policy", Kind: events.ErrDenied, Subject: v.Rule, Err: errors.New(v.Message)}
	}
	return err
}

func newPolicyTest(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "test FILE", Short: "Judge the plans in a file, and compare with what they should be", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		Long: `Judge the plans in a YAML file with the rules as they are, and compare. Each case says
what it is about and what is wanted: allow, or the name of a rule that denies it.

  cases:
    - name: a purge of four
      verb: purge
      changes: [{name: a, action: purge, from: "1"}, {name: b, action: purge, from: "1"},
                {name: c, action: purge, from: "1"}, {name: d, action: purge, from: "1"}]
      who: {uid: 0, user: root}
      now: 2026-11-23T12:00:00Z
      want: few-removals`,
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := a.policy()
			if err != nil {
				return err
			}
			if _, _, fault := p.List(); fault != nil {
				return filesFault(fault)
			}
			text, err := os.ReadFile(args[0])
			if err != nil {
				return &events.Error{Op: "cli.policy", Kind: events.ErrNotFound, Subject: args[0], Err: err}
			}
			results, err := a.Engine.PolicyCases(text, p)
			if err != nil {
				return &events.Error{Op: "cli.policy", Kind: events.ErrUsage, Subject: args[0], Err: err}
			}
			failed := 0
			for _, r := range results {
				if !r.OK {
					failed++
				}
			}
			err = a.PrintResult(map[string]any{"version": 1, "cases": results}, func(w io.Writer) { output.PolicyCases(w, results) })
			if err == nil && failed > 0 {
				return iostreams.ExitCode(1)
			}
			return err
		},
	}
}
