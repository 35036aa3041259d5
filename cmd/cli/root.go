package cli

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/askcmd"
	"cortex/cmd/cli/auditcmd"
	"cortex/cmd/cli/backupcmd"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/configcmd"
	"cortex/cmd/cli/eventscmd"
	"cortex/cmd/cli/hardwarecmd"
	"cortex/cmd/cli/historycmd"
	"cortex/cmd/cli/iostreams"
	"cortex/cmd/cli/limitscmd"
	"cortex/cmd/cli/llmcmd"
	"cortex/cmd/cli/shellcmd"
	"cortex/cmd/cli/systemcmd"
	"cortex/cmd/cli/transactcmd"
	"cortex/events"
)

// version is set in a release build: -ldflags "-X cortex/cmd/cli.version=…".
var version = "dev"

// Build returns the name of this build, which commands and daemons compare.
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

const exitCodes = `Exit codes: 0 done or nothing to do, 1 error, 2 usage, 3 declined, 4 needs approval
or root, 5 denied by policy, 6 plan stale, 7 undone but not exactly, 8 another package
manager is busy, 100 apt or dpkg failed, 130 interrupted.`

// Root returns the whole command tree, for manual pages.
func Root() *cobra.Command {
	return newRoot(&cmdutil.Context{IO: &iostreams.IO{}, Service: &app.Service{}})
}

func newRoot(c *cmdutil.Context) *cobra.Command {
	root := &cobra.Command{
		Use:   "cortex",
		Short: "Install software through apt, with a history that can be undone",
		Long: `Cortex installs software on Debian through apt, records every change, and can undo it.

A request that changes nothing is refused (it is invalid, or apt cannot plan it), denied (a
policy rule forbids its plan), or cancelled (its plan was not approved).

` + exitCodes,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return c.LoadSettings() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		c.JSON = c.JSON || wantsJSON(c.Args) // --json may follow the invalid flag
		return cmdutil.UsageError(cmd, err)
	})
	flags := root.PersistentFlags()
	flags.BoolVar(&c.JSON, "json", false, "print JSON instead of text")
	flags.BoolVar(&c.Embedded, "embedded", false, "run without a background daemon")
	flags.BoolVarP(&c.Quiet, "quiet", "q", false, "print no progress and no notes")
	root.AddGroup(&cobra.Group{ID: "change", Title: "Change the machine:"}, &cobra.Group{ID: "look", Title: "Show what happened:"}, &cobra.Group{ID: "tool", Title: "Operate cortex:"})
	for _, e := range commands {
		if !needs(c.Args, e.name) {
			continue
		}
		cmd := e.make(c)
		if cmd.GroupID = e.group; e.group != "" {
			if cmd.Long == "" {
				cmd.Long = cmd.Short + "."
			}
			cmd.Long += "\n\nFor the exit codes, see 'cortex help exit-codes'."
		}
		root.AddCommand(cmd)
	}
	root.SetHelpCommandGroupID("tool")
	root.SetCompletionCommandGroupID("tool")
	unknown(root)
	return root
}

// wantsJSON reports whether the arguments contain --json, although they cannot be parsed.
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

// entry is a command that is created only when it is needed: creating all of them takes a
// sixth of the start time.
type entry struct {
	group, name string
	make        func(*cmdutil.Context) *cobra.Command
}

// needs reports whether a command must be created: all must, unless the first argument
// names one.
func needs(args []string, name string) bool {
	if len(args) == 0 || args[0] == name {
		return true
	}
	return !slices.ContainsFunc(commands, func(e entry) bool { return e.name == args[0] })
}

// commands are all commands, by group.
var commands = []entry{
	{"change", "install", func(c *cmdutil.Context) *cobra.Command {
		return transactcmd.NewInstall(c, "install", "Install packages, by name or by purpose")
	}},
	{"change", "plan", func(c *cmdutil.Context) *cobra.Command {
		return transactcmd.NewInstall(c, "plan", "Show the plan of an installation, and change nothing")
	}},
	{"change", "remove", func(c *cmdutil.Context) *cobra.Command {
		return transactcmd.NewVerb(c, events.VerbRemove, "remove NAME[:ARCH]…", "Remove packages, and keep their configuration", cmdutil.Args(1, cmdutil.AnyNumber))
	}},
	{"change", "purge", func(c *cmdutil.Context) *cobra.Command {
		return transactcmd.NewVerb(c, events.VerbPurge, "purge NAME[:ARCH]…", "Remove packages and their configuration", cmdutil.Args(1, cmdutil.AnyNumber))
	}},
	{"change", "upgrade", func(c *cmdutil.Context) *cobra.Command {
		return transactcmd.NewVerb(c, events.VerbUpgrade, "upgrade [NAME[:ARCH]…]", "Upgrade the named packages, or everything", cmdutil.Args(0, cmdutil.AnyNumber))
	}},
	{"change", "hold", func(c *cmdutil.Context) *cobra.Command {
		return transactcmd.NewVerb(c, events.VerbHold, "hold NAME[:ARCH]…", "Hold packages at their version", cmdutil.Args(1, cmdutil.AnyNumber))
	}},
	{"change", "unhold", func(c *cmdutil.Context) *cobra.Command {
		return transactcmd.NewVerb(c, events.VerbUnhold, "unhold NAME[:ARCH]…", "Release packages from hold", cmdutil.Args(1, cmdutil.AnyNumber))
	}},
	{"change", "apply", transactcmd.NewApply},
	{"change", "undo", transactcmd.NewUndo},
	{"change", "redo", transactcmd.NewRedo},
	{"change", "rollback", transactcmd.NewRollback},
	{"change", "attach", transactcmd.NewAttach},
	{"look", "history", historycmd.NewHistory},
	{"look", "show", historycmd.NewShow},
	{"look", "packages", historycmd.NewPackages},
	{"look", "file", historycmd.NewFile},
	{"look", "why", historycmd.NewWhy},
	{"look", "events", eventscmd.NewEvents},
	{"look", "hardware", hardwarecmd.NewHardware},
	{"look", "ask", askcmd.NewAsk},
	{"look", "suggest", askcmd.NewSuggest},
	{"look", "explain", askcmd.NewExplain},
	{"look", "audit", auditcmd.NewAudit},
	{"look", "status", systemcmd.NewStatus},
	{"tool", "config", configcmd.NewConfig},
	{"tool", "backup", backupcmd.NewBackup},
	{"tool", "policy", configcmd.NewPolicy},
	{"tool", "daemon", systemcmd.NewDaemon},
	{"tool", "replay", systemcmd.NewReplay},
	{"tool", "store", backupcmd.NewStore},
	{"tool", "catalog", askcmd.NewCatalog},
	{"tool", "llm", llmcmd.NewLLM},
	{"tool", "cache", llmcmd.NewCache},
	{"tool", "memory", askcmd.NewMemory},
	{"tool", "kvcache", llmcmd.NewKVCache},
	{"tool", "limits", limitscmd.NewLimits},
	{"tool", "doctor", systemcmd.NewDoctor},
	{"tool", "hooks", systemcmd.NewHooks},
	{"tool", "notify", systemcmd.NewNotify},
	{"tool", "shell", shellcmd.NewShell},
	{"tool", "logs", systemcmd.NewLogs},
	{"tool", "version", systemcmd.NewVersion},
	{"", "exit-codes", func(*cmdutil.Context) *cobra.Command { return newExitCodes() }},
	{"", "hook", systemcmd.NewHook},
	{"", "worker", systemcmd.NewWorker},
}

// unknown makes an unknown command a usage error that suggests similar commands.
func unknown(root *cobra.Command) {
	root.Args = cmdutil.Args(0, cmdutil.AnyNumber)
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		hint := "to list the commands: cortex help"
		if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
			hint = "did you mean " + strings.Join(similar, " or ") + "?"
		}
		return &events.Error{Op: "cli", Kind: events.ErrUsage, Subject: fmt.Sprintf("%q", args[0]), Err: errors.New("unknown command"), Hint: hint}
	}
	root.SuggestionsMinimumDistance = 2
}

func newExitCodes() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "Explain the exit codes", Long: exitCodes}
}
