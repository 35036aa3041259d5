package transactcmd

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/events"
	"cortex/producers/intent"
)

// verbExamples are the examples in the help of each verb.
var verbExamples = map[events.Verb]string{
	events.VerbRemove:  "  cortex remove cowsay\n  cortex remove cowsay --dry-run",
	events.VerbPurge:   "  cortex purge nginx-light --dry-run\n  cortex purge nginx-light           undo restores its configuration",
	events.VerbUpgrade: "  cortex upgrade\n  cortex upgrade openssl --yes",
	events.VerbHold:    "  cortex hold linux-image-amd64",
	events.VerbUnhold:  "  cortex unhold linux-image-amd64",
}

// newVerb returns a command that takes package names.
func newVerb(a *commands, verb events.Verb, use, short string, args cobra.PositionalArgs) *cobra.Command {
	var how ApprovalFlags
	var o PlanFlags
	cmd := &cobra.Command{
		Use: use, Short: short, Args: args, Example: verbExamples[verb],
		ValidArgsFunction: a.CompleteInstalled,
		RunE: func(cmd *cobra.Command, args []string) error {
			refs, err := intent.ParsePackages(args)
			if err != nil {
				return err
			}
			in := events.Intent{Verb: verb, Packages: refs, Options: o.Resolve(a.Context)}
			if err := in.Validate(); err != nil {
				return err
			}
			return a.transact(cmd.Context(), in, how)
		},
	}
	how.Flags(cmd)
	o.Flags(cmd, verb)
	return cmd
}

// newInstall returns install or plan, which accept words besides names.
func newInstall(a *commands, name, short string) *cobra.Command {
	var how ApprovalFlags
	var o PlanFlags
	var w installRequest
	cmd := &cobra.Command{
		Use: name + ` NAME[:ARCH][=VERSION]…|"WORDS"…`, Short: short, Args: cmdutil.Args(1, cmdutil.AnyNumber),
		Long: short + `.

An argument with a blank is a request in words, such as "a web server and a database". Cortex
looks the words up in the package lists, shows the packages that match, and asks you to choose.
It installs only what you choose. Packages that you chose before for the same words come first
(see 'cortex memory').`,
		Example:           "  cortex " + name + " nginx\n  cortex " + name + ` "something to edit PDFs"` + "\n  cortex " + name + ` "a web server for static sites" --pick nginx`,
		ValidArgsFunction: a.CompletePackages,
		RunE: func(cmd *cobra.Command, args []string) error {
			how.DryRun = how.DryRun || name == "plan"
			w.first = how.DryRun && len(w.pick) == 0
			return a.install(cmd.Context(), &w, args, o.Resolve(a.Context), how)
		},
	}
	w.flags(cmd)
	if name == "install" {
		how.Flags(cmd)
	}
	o.Flags(cmd, events.VerbInstall)
	return cmd
}

// install resolves the words, and transacts.
func (a *commands) install(ctx context.Context, w *installRequest, args []string, o events.Options, how ApprovalFlags) error {
	err := w.sort(args)
	if err == nil {
		err = a.moveUnknown(ctx, w)
	}
	if err != nil {
		return err
	}
	refs := w.refs
	switch {
	case len(w.words) > 0:
		if refs, err = a.chosen(ctx, w); err != nil || len(refs) == 0 {
			return err
		}
	case len(w.pick) > 0 || w.candidates:
		return &events.Error{Op: "cli", Kind: events.ErrUsage, Subject: "--pick, --candidates", Err: errors.New("they apply only to requests in words, and the arguments are names")}
	}
	in := events.Intent{Verb: events.VerbInstall, Packages: refs, Options: o, Chosen: w.chosen}
	if err := in.Validate(); err != nil {
		return err
	}
	return a.transact(ctx, in, how)
}

// PlanFlags are the flags that change how a plan is made.
type PlanFlags struct {
	events.Options
	lock time.Duration
}

// Flags registers the flags that verb has.
func (o *PlanFlags) Flags(cmd *cobra.Command, verb events.Verb) {
	f := cmd.Flags()
	f.DurationVar(&o.lock, "lock-timeout", 0, "wait at most this long for another package manager (default 2m0s, or CORTEX_LOCK_TIMEOUT)")
	switch verb {
	case events.VerbInstall:
		f.BoolVar(&o.Reinstall, "reinstall", false, "install packages again that are installed")
		f.BoolVar(&o.NoRecommends, "no-recommends", false, "do not install recommended packages")
	case events.VerbUpgrade, events.VerbImport:
		f.BoolVar(&o.NoRecommends, "no-recommends", false, "do not install recommended packages")
	case events.VerbHold, events.VerbUnhold:
		return
	case events.VerbUndo, events.VerbRedo, events.VerbRollback:
		f.StringArrayVar(&o.Force, "force", nil, "restore PATH even though it was changed after the transaction")
		f.BoolVar(&o.Hold, "hold", false, "hold packages that return to an older version, so that the next upgrade keeps them")
		if verb == events.VerbUndo {
			f.BoolVar(&o.Cascade, "cascade", false, "also undo later transactions that conflict")
		}
	case events.VerbRemove, events.VerbPurge, events.VerbObserved:
	}
	f.BoolVar(&o.AllowHeld, "allow-change-held-packages", false, "allow changes of packages on hold")
}

// Resolve returns the options, with defaults from the settings.
func (o *PlanFlags) Resolve(c *cmdutil.Context) events.Options {
	wait := o.lock
	if wait == 0 {
		wait = c.Settings.LockTimeout
	}
	out := o.Options
	out.LockWaitSec = max(1, int(wait/time.Second))
	return out
}
