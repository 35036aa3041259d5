package shellcmd

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/openindex"
	"cortex/consumers/machine/apt"
	"cortex/events"
)

//go:embed scripts
var shellScripts embed.FS

// shells are those that there is something for.
var shells = []string{"bash", "zsh", "fish"}

// patience of somebody who pressed a key.
const fillTimeout = 3 * time.Second

func newShell(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "shell", Short: "Completion and a key for your shell", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `Completion and a key for your shell: bash, zsh or fish.

Ctrl-X p turns words on the line into a command: "a web server" becomes
"cortex install 'a web server'", and a package's name becomes its installation. It
only fills the line; you read it and press Enter, or do not.`,
		Example: "  eval \"$(cortex shell init bash)\"        # for this shell\n  cortex shell init fish | source          # the same in fish\n  cortex shell install                     # for every new one",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	fill := &cobra.Command{
		Use: "fill -- LINE", Short: "Print what the key makes of a line", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		Long: `Print what the key makes of a line. Nothing is run and nothing is asked.

  cortex shell fill -- 'a web server'`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.fill(cmd.Context(), args[0]) },
	}
	missing := &cobra.Command{
		Use: "missing -- COMMAND", Short: "Tell which package a command that is not there may be in", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		Long: `Tell which package a command that is not there may be in: one of the same name.

  cortex shell missing -- cowsay`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.missing(cmd.Context(), args[0]) },
	}
	cmd.AddCommand(newShellInit(a), fill, missing, newShellInstall(a), newShellUninstall(a))
	return cmd
}

// shellParts are what a shell is given.
type shellParts struct{ noKey, missing bool }

func (p *shellParts) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&p.noKey, "no-key", false, "leave Ctrl-X p alone")
	cmd.Flags().BoolVar(&p.missing, "command-not-found", false, "when a command is not there, name the package of that name")
}

// words gives the parts as flags.
func (p shellParts) words() string {
	out := ""
	if p.noKey {
		out += " --no-key"
	}
	if p.missing {
		out += " --command-not-found"
	}
	return out
}

func newShellInit(a *commands) *cobra.Command {
	var parts shellParts
	cmd := &cobra.Command{
		Use: "init bash|zsh|fish", Short: "Print what your shell is to evaluate", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)), ValidArgs: shells,
		Long: `Print what your shell is to evaluate: completion, and the key Ctrl-X p. It changes
no file.

  eval "$(cortex shell init bash)"
  eval "$(cortex shell init zsh --command-not-found)"
  cortex shell init fish | source`,
		PersistentPreRunE: cmdutil.WithoutSettings,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := knownShell(args[0]); err != nil {
				return err
			}
			return writeInit(a.Stdout, cmd.Root(), args[0], parts)
		},
	}
	parts.flags(cmd)
	return cmd
}

func knownShell(name string) error {
	if slices.Contains(shells, name) {
		return nil
	}
	return &events.Error{Op: "cli.shell", Kind: events.ErrUsage, Subject: fmt.Sprintf("%q", name), Err: errors.New("there is nothing for this shell"), Hint: "name one of " + strings.Join(shells, ", ")}
}

// writeInit writes the script for a shell.
func writeInit(w io.Writer, root *cobra.Command, shell string, parts shellParts) error {
	names := []string{"init"}
	if !parts.noKey {
		names = append(names, "key")
	}
	if parts.missing {
		names = append(names, "missing")
	}
	for i, name := range names {
		b, err := shellScripts.ReadFile("scripts/" + name + "." + shell)
		if err == nil {
			_, err = w.Write(b)
		}
		if err == nil && i == 0 {
			err = writeCompletion(w, root, shell)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func writeCompletion(w io.Writer, root *cobra.Command, shell string) error {
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(w, true)
	case "zsh":
		return root.GenZshCompletion(w)
	}
	return root.GenFishCompletion(w, true)
}

// fill prints what the key makes of a line: the same line when it is a command of
// ours already, or nothing at all.
func (a *commands) fill(ctx context.Context, line string) error {
	ctx, cancel := context.WithTimeout(ctx, fillTimeout)
	defer cancel()
	wish := strings.TrimSpace(line)
	first, _, _ := strings.Cut(wish, " ")
	if wish == "" || first == "cortex" || first == "sudo" || strings.ContainsFunc(wish, func(r rune) bool { return r < ' ' }) {
		fmt.Fprintln(a.Stdout, line)
		return nil
	}
	fmt.Fprintln(a.Stdout, "cortex install "+a.named(ctx, wish))
	return nil
}

// named gives names where the words mean exactly these, and otherwise the words, which
// then are looked up before anybody's eyes.
func (a *commands) named(ctx context.Context, wish string) string {
	quoted := quote(wish)
	c := openindex.OpenFresh(ctx, openindex.LocationFor(a.Settings, a.Env))
	if c == nil {
		return quoted
	}
	defer c.Close()
	needs, err := c.Resolve(ctx, wish)
	if err != nil || len(needs) == 0 {
		return quoted
	}
	var names []string
	for _, n := range needs {
		if !n.ExactName || len(n.Candidates) == 0 {
			return quoted
		}
		names = append(names, string(n.Candidates[0].Name))
	}
	return strings.Join(names, " ")
}

// quote makes one word of bash, zsh and fish of it.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// missing tells about a package that is named like a command.
func (a *commands) missing(ctx context.Context, command string) error {
	ctx, cancel := context.WithTimeout(ctx, fillTimeout)
	defer cancel()
	name := events.PackageName(filepath.Base(command))
	type view struct {
		Version int    `json:"version"`
		Package string `json:"package,omitempty"`
	}
	v := view{Version: 1}
	if name.Validate() == nil && string(name) == command {
		names, err := apt.New(apt.Config{Root: a.Settings.Root}).PackageNames(ctx, command)
		if err != nil {
			return err
		}
		if slices.Contains(names, command) {
			v.Package = command
		}
	}
	return a.PrintResult(v, func(w io.Writer) {
		if v.Package != "" {
			fmt.Fprintf(w, "there is a package of that name: cortex install %s\n", v.Package)
		}
	})
}
