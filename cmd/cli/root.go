package cli

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"cortex/events"
)

// version is set when a release is built: -ldflags "-X cortex/cmd/cli.version=…".
var version = "dev"

// Build names this build, for version skew and bug reports.
func Build() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return version + "-" + s.Value[:12]
		}
	}
	return version
}

const exitCodes = `Exit codes: 0 done or nothing to do, 1 error, 2 usage, 3 declined, 4 needs a yes or
root, 5 denied by policy, 6 plan stale, 7 undone but not exactly, 8 another
package manager is busy, 100 apt or dpkg failed, 130 interrupted.`

// Root is the whole command tree, for manual pages.
func Root() *cobra.Command { return newRoot(&App{}) }

func newRoot(a *App) *cobra.Command {
	root := &cobra.Command{
		Use:   "cortex",
		Short: "Install software through apt, with a history that can be undone",
		Long: `Cortex installs software on Debian and Ubuntu through apt, records exactly what
happened, and takes it back.

` + exitCodes,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: a.prepare,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(cmd, err)
	})
	flags := root.PersistentFlags()
	flags.BoolVar(&a.json, "json", false, "print JSON")
	flags.BoolVar(&a.embedded, "embedded", false, "run the daemon's inside in this process")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "no progress")
	root.AddGroup(&cobra.Group{ID: "change", Title: "Change the machine:"}, &cobra.Group{ID: "look", Title: "Look at what happened:"}, &cobra.Group{ID: "tool", Title: "Run cortex itself:"})
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			if c.Long == "" {
				c.Long = c.Short + "."
			}
			c.Long += "\n\n" + exitCodes
			root.AddCommand(c)
		}
	}
	add("change", newVerbs(a)...)
	add("change", newApply(a), newUndo(a), newRedo(a), newRollback(a), newAttach(a))
	add("look", newHistory(a), newShow(a), newPackages(a), newFile(a), newWhy(a), newEvents(a), newHardware(a), newAsk(a), newSuggest(a), newExplain(a), newAudit(a), newStatus(a))
	add("tool", newConfig(a), newBackup(a), newPolicy(a), newDaemon(a), newReplay(a), newStore(a), newCatalog(a), newLLM(a), newCache(a), newMemory(a), newKVCache(a), newLimits(a), newDoctor(a), newHooks(a), newNotify(a), newShell(a), newLogs(a), newVersion(a))
	root.AddCommand(newExitCodes(), newHook(a), newWorker(a))
	root.SetHelpCommandGroupID("tool")
	root.SetCompletionCommandGroupID("tool")
	unknown(root)
	return root
}

// unknown makes a wrong command a usage error with near ones.
func unknown(root *cobra.Command) {
	root.Args = cobra.ArbitraryArgs
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		hint := "see 'cortex help'"
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "did you mean " + strings.Join(near, " or ") + "?"
		}
		return &events.Error{Op: "cli", Kind: events.ErrUsage, Subject: fmt.Sprintf("%q", args[0]), Err: errors.New("there is no such command"), Hint: hint}
	}
	root.SuggestionsMinimumDistance = 2
}

func usage(cmd *cobra.Command, err error) error {
	return &events.Error{Op: "cli", Kind: events.ErrUsage, Err: err, Hint: "see '" + cmd.CommandPath() + " --help'"}
}

// some wraps cobra's checks of arguments into usage errors.
func some(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usage(cmd, err)
		}
		return nil
	}
}

func newExitCodes() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: exitCodes}
}
