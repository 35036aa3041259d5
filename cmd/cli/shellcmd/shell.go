package shellcmd

import (
	"context"
	"embed"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/shellrc"
)

//go:embed scripts
var shellScripts embed.FS

// keyTimeout bounds how long the user waits after a key press.
const keyTimeout = 3 * time.Second

func newShell(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "shell", Short: "Set up completion and a key for your shell", Args: cmdutil.Args(0, 0),
		Long: `Set up completion and a key for your shell: bash, zsh or fish.

Ctrl-X p turns the words on the command line into a command: "a web server" becomes
"cortex install 'a web server'", and a package name becomes "cortex install NAME". It only
changes the line; the command runs when you press Enter.`,
		Example: "  eval \"$(cortex shell init bash)\"        # for this bash\n  cortex shell init fish | source          # for this fish\n  cortex shell install                     # for every new shell",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newShellInit(a), newShellFill(a), newShellMissing(a), newShellInstall(a), newShellUninstall(a))
	return cmd
}

// shellParts selects the parts of the integration.
type shellParts struct{ noKey, missing bool }

func (p *shellParts) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&p.noKey, "no-key", false, "do not bind Ctrl-X p")
	cmd.Flags().BoolVar(&p.missing, "command-not-found", false, "suggest a package when a command is not found")
}

// args returns the parts as arguments of 'cortex shell init'.
func (p shellParts) args() string {
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
		Use: "init bash|zsh|fish", Short: "Print the code that your shell evaluates", Args: cmdutil.Args(1, 1), ValidArgs: shellrc.Shells,
		Long: "Print the code that your shell evaluates: completion, and the key Ctrl-X p. The command writes\nno file.",
		Example: `  eval "$(cortex shell init bash)"
  eval "$(cortex shell init zsh --command-not-found)"
  cortex shell init fish | source`,
		PersistentPreRunE: cmdutil.WithoutSettings,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := shellrc.CheckShell(args[0]); err != nil {
				return err
			}
			return writeInit(a.Stdout, cmd.Root(), args[0], parts)
		},
	}
	parts.flags(cmd)
	return cmd
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

func newShellFill(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "fill -- LINE", Short: "Print the command that the key fills in", Args: cmdutil.Args(1, 1),
		Long:    "Print the command that Ctrl-X p fills in for a line. Nothing runs.",
		Example: "  cortex shell fill -- 'a web server'",
		RunE: func(cmd *cobra.Command, args []string) error {
			fmt.Fprintln(a.Stdout, a.fill(cmd.Context(), args[0]))
			return nil
		},
	}
}

// fill returns the install command for a line. It returns a cortex command, a sudo command
// and an empty line unchanged.
func (a *commands) fill(ctx context.Context, line string) string {
	ctx, cancel := context.WithTimeout(ctx, keyTimeout)
	defer cancel()
	phrase := strings.TrimSpace(line)
	first, _, _ := strings.Cut(phrase, " ")
	if phrase == "" || first == "cortex" || first == "sudo" || strings.ContainsFunc(phrase, func(r rune) bool { return r < ' ' }) {
		return line
	}
	if names := a.ExactPackages(ctx, phrase); len(names) > 0 {
		return "cortex install " + strings.Join(names, " ")
	}
	return "cortex install " + quote(phrase)
}

// quote returns s as one word of bash, zsh and fish.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func newShellMissing(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "missing -- COMMAND", Short: "Suggest a package for a command that is not found", Args: cmdutil.Args(1, 1),
		Long:    "Suggest a package for a command that is not found: the package of the same name, if there is one.",
		Example: "  cortex shell missing -- cowsay",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.missing(cmd.Context(), args[0]) },
	}
}

func (a *commands) missing(ctx context.Context, command string) error {
	ctx, cancel := context.WithTimeout(ctx, keyTimeout)
	defer cancel()
	found, err := a.PackageNamed(ctx, command)
	if err != nil {
		return err
	}
	v := map[string]any{"version": 1}
	if found {
		v["package"] = command
	}
	return a.PrintResult(v, func(w io.Writer) {
		if found {
			fmt.Fprintf(w, "a package has this name: cortex install %s\n", command)
		}
	})
}
