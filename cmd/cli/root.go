package cli

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
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
		PersistentPreRunE: a.LoadSettings,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		a.JSON = a.JSON || wantsJSON(a.Args) // it may stand behind the flag that is wrong
		return UsageError(cmd, err)
	})
	flags := root.PersistentFlags()
	flags.BoolVar(&a.JSON, "json", false, "print JSON")
	flags.BoolVar(&a.Embedded, "embedded", false, "run the daemon's inside in this process")
	flags.BoolVarP(&a.Quiet, "quiet", "q", false, "no progress")
	root.AddGroup(&cobra.Group{ID: "change", Title: "Change the machine:"}, &cobra.Group{ID: "look", Title: "Look at what happened:"}, &cobra.Group{ID: "tool", Title: "Run cortex itself:"})
	for _, e := range commands {
		if !a.needs(e.name) {
			continue
		}
		c := e.make(a)
		if c.GroupID = e.group; e.group != "" {
			if c.Long == "" {
				c.Long = c.Short + "."
			}
			c.Long += "\n\n" + exitCodes
		}
		root.AddCommand(c)
	}
	root.SetHelpCommandGroupID("tool")
	root.SetCompletionCommandGroupID("tool")
	unknown(root)
	exemplify(root)
	return root
}

// wantsJSON reports whether --json stands among arguments that were not understood.
func wantsJSON(args []string) bool {
	for _, arg := range args {
		switch arg {
		case "--":
			return false
		case "--json", "--json=true":
			return true
		}
	}
	return false
}

// entry is a command that is made when it is needed: making all of them is a sixth of
// a start.
type entry struct {
	group, name string
	make        func(*App) *cobra.Command
}

// needs reports whether a command must be there: all must, unless the first word names
// one.
func (a *App) needs(name string) bool {
	if len(a.Args) == 0 || a.Args[0] == name {
		return true
	}
	return !slices.ContainsFunc(commands, func(e entry) bool { return e.name == a.Args[0] })
}

// commands are all commands, in the order of their groups.
var commands = []entry{
	{"change", "install", func(a *App) *cobra.Command {
		return newInstall(a, "install", "Install packages, by name or by what they are for")
	}},
	{"change", "plan", func(a *App) *cobra.Command {
		return newInstall(a, "plan", "Show what an installation would do; the same as install --dry-run")
	}},
	{"change", "remove", func(a *App) *cobra.Command {
		return newVerb(a, events.VerbRemove, "remove NAME[:ARCH]…", "Remove packages, keeping their configuration", cobra.MinimumNArgs(1))
	}},
	{"change", "purge", func(a *App) *cobra.Command {
		return newVerb(a, events.VerbPurge, "purge NAME[:ARCH]…", "Remove packages and their configuration", cobra.MinimumNArgs(1))
	}},
	{"change", "upgrade", func(a *App) *cobra.Command {
		return newVerb(a, events.VerbUpgrade, "upgrade [NAME[:ARCH]…]", "Upgrade packages, or all", cobra.ArbitraryArgs)
	}},
	{"change", "hold", func(a *App) *cobra.Command {
		return newVerb(a, events.VerbHold, "hold NAME[:ARCH]…", "Keep packages at their version", cobra.MinimumNArgs(1))
	}},
	{"change", "unhold", func(a *App) *cobra.Command {
		return newVerb(a, events.VerbUnhold, "unhold NAME[:ARCH]…", "Let packages change again", cobra.MinimumNArgs(1))
	}},
	{"change", "apply", newApply},
	{"change", "undo", newUndo},
	{"change", "redo", newRedo},
	{"change", "rollback", newRollback},
	{"change", "attach", newAttach},
	{"look", "history", newHistory},
	{"look", "show", newShow},
	{"look", "packages", newPackages},
	{"look", "file", newFile},
	{"look", "why", newWhy},
	{"look", "events", newEvents},
	{"look", "hardware", newHardware},
	{"look", "ask", newAsk},
	{"look", "suggest", newSuggest},
	{"look", "explain", newExplain},
	{"look", "audit", newAudit},
	{"look", "status", newStatus},
	{"tool", "config", newConfig},
	{"tool", "backup", newBackup},
	{"tool", "policy", newPolicy},
	{"tool", "daemon", newDaemon},
	{"tool", "replay", newReplay},
	{"tool", "store", newStore},
	{"tool", "catalog", newCatalog},
	{"tool", "llm", newLLM},
	{"tool", "cache", newCache},
	{"tool", "memory", newMemory},
	{"tool", "kvcache", newKVCache},
	{"tool", "limits", newLimits},
	{"tool", "doctor", newDoctor},
	{"tool", "hooks", newHooks},
	{"tool", "notify", newNotify},
	{"tool", "shell", newShell},
	{"tool", "logs", newLogs},
	{"tool", "version", newVersion},
	{"", "exit-codes", func(*App) *cobra.Command { return newExitCodes() }},
	{"", "hook", newHook},
	{"", "worker", newWorker},
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

func UsageError(cmd *cobra.Command, err error) error {
	return &events.Error{Op: "cli", Kind: events.ErrUsage, Err: err, Hint: "see '" + cmd.CommandPath() + " --help'"}
}

// CheckArgs wraps cobra's checks of arguments into usage errors.
func CheckArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return UsageError(cmd, err)
		}
		return nil
	}
}

func newExitCodes() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: exitCodes}
}
