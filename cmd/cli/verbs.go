package cli

import (
	"time"

	"github.com/spf13/cobra"

	"cortex/events"
	"cortex/producers/intent"
)

// newVerbs makes the commands that name packages.
func newVerbs(a *App) []*cobra.Command {
	return []*cobra.Command{
		newVerb(a, events.VerbInstall, "install NAME[:ARCH][=VERSION]…", "Install packages", cobra.MinimumNArgs(1)),
		newVerb(a, events.VerbRemove, "remove NAME[:ARCH]…", "Remove packages, keeping their configuration", cobra.MinimumNArgs(1)),
		newVerb(a, events.VerbPurge, "purge NAME[:ARCH]…", "Remove packages and their configuration", cobra.MinimumNArgs(1)),
		newVerb(a, events.VerbUpgrade, "upgrade [NAME[:ARCH]…]", "Upgrade packages, or all", cobra.ArbitraryArgs),
		newVerb(a, events.VerbHold, "hold NAME[:ARCH]…", "Keep packages at their version", cobra.MinimumNArgs(1)),
		newVerb(a, events.VerbUnhold, "unhold NAME[:ARCH]…", "Let packages change again", cobra.MinimumNArgs(1)),
	}
}

func newVerb(a *App, verb events.Verb, use, short string, args cobra.PositionalArgs) *cobra.Command {
	var how consent
	var o options
	cmd := &cobra.Command{
		Use: use, Short: short, Args: some(args),
		ValidArgsFunction: a.completePackages,
		RunE: func(cmd *cobra.Command, args []string) error {
			refs, err := intent.Packages(args)
			if err != nil {
				return err
			}
			in := events.Intent{Verb: verb, Packages: refs, Options: o.of(a)}
			if err := in.Validate(); err != nil {
				return err
			}
			return a.transact(cmd.Context(), in, how)
		},
	}
	consentFlags(cmd, &how)
	o.flags(cmd, verb)
	return cmd
}

// options are the flags that change planning.
type options struct {
	events.Options
	lock time.Duration
}

func (o *options) flags(cmd *cobra.Command, verb events.Verb) {
	f := cmd.Flags()
	f.DurationVar(&o.lock, "lock-timeout", 0, "how long to wait for another package manager (default 2m0s, or CORTEX_LOCK_TIMEOUT)")
	switch verb {
	case events.VerbInstall:
		f.BoolVar(&o.Reinstall, "reinstall", false, "install again what is installed")
		f.BoolVar(&o.NoRecommends, "no-recommends", false, "without recommended packages")
	case events.VerbUpgrade:
		f.BoolVar(&o.NoRecommends, "no-recommends", false, "without recommended packages")
	case events.VerbHold, events.VerbUnhold:
		return
	case events.VerbUndo, events.VerbRedo, events.VerbRollback:
		f.StringArrayVar(&o.Force, "force", nil, "restore this path although somebody changed it since")
		f.BoolVar(&o.Hold, "hold", false, "hold what goes back to an older version, so that the next upgrade leaves it")
		if verb == events.VerbUndo {
			f.BoolVar(&o.Cascade, "cascade", false, "take back later transactions that stand in the way, too")
		}
	case events.VerbRemove, events.VerbPurge, events.VerbObserved:
	}
	f.BoolVar(&o.AllowHeld, "allow-change-held-packages", false, "may change packages on hold")
}

func (o *options) of(a *App) events.Options {
	wait := o.lock
	if wait == 0 {
		wait = a.settings.LockWait
	}
	out := o.Options
	out.LockWaitSec = max(1, int(wait/time.Second))
	return out
}

func consentFlags(cmd *cobra.Command, how *consent) {
	f := cmd.Flags()
	f.BoolVarP(&how.yes, "yes", "y", false, "do not ask")
	f.BoolVarP(&how.dryRun, "dry-run", "s", false, "show the plan and its id; change nothing")
	f.BoolVar(&how.dryRun, "simulate", false, "the same as --dry-run")
	cmd.MarkFlagsMutuallyExclusive("yes", "dry-run")
}
