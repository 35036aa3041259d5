package shellcmd

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/shellrc"
)

func newShellInstall(a *commands) *cobra.Command {
	var parts shellParts
	var dry bool
	cmd := &cobra.Command{
		Use: "install [bash|zsh|fish]", Short: "Load the shell integration in every new shell", Args: cmdutil.Args(0, 1), ValidArgs: shellrc.Shells,
		Long: `Add a marked block to the file that your shell reads at its start (~/.bashrc, ~/.zshrc or
~/.config/fish/config.fish), and keep a copy of the file beside it. The default is your login
shell.`,
		Example: "  cortex shell install --dry-run\n  cortex shell install zsh --command-not-found",
		RunE: func(_ *cobra.Command, args []string) error {
			return a.editRC(args, dry, func(shell string) string { return shellrc.Block(shell, "cortex shell init "+shell+parts.args()) })
		},
	}
	parts.flags(cmd)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "show the file and the block, and write nothing")
	return cmd
}

func newShellUninstall(a *commands) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "uninstall [bash|zsh|fish]", Short: "Remove the shell integration", Args: cmdutil.Args(0, 1), ValidArgs: shellrc.Shells,
		Long:    "Remove the marked block from the file that your shell reads at its start. The rest of the file\ndoes not change.",
		Example: "  cortex shell uninstall",
		RunE: func(_ *cobra.Command, args []string) error {
			return a.editRC(args, dry, func(string) string { return "" })
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "show the file, and write nothing")
	return cmd
}

// rcView is a change of a shell's file as JSON.
type rcView struct {
	Version int    `json:"version"`
	Shell   string `json:"shell"`
	File    string `json:"file"`
	Backup  string `json:"backup,omitempty"` // the copy that was made
	Block   string `json:"block,omitempty"`
	Changed bool   `json:"changed"`
	DryRun  bool   `json:"dry_run"`
}

// editRC changes the block in a shell's file.
func (a *commands) editRC(args []string, dry bool, block func(shell string) string) error {
	shell := append(args, filepath.Base(a.Env("SHELL")))[0]
	if err := shellrc.CheckShell(shell); err != nil {
		return err
	}
	e, err := shellrc.Plan(a.Env, shell, block(shell))
	if err != nil {
		return err
	}
	v := rcView{Version: 1, Shell: shell, File: e.File, Block: e.Block, Changed: e.Changed, DryRun: dry}
	if !dry {
		if err := e.Apply(); err != nil {
			return err
		}
		v.Backup = e.Backup
	}
	return a.PrintResult(v, v.write)
}

func (v rcView) write(w io.Writer) {
	switch {
	case !v.Changed:
		fmt.Fprintf(w, "%s needs no change\n", v.File)
	case v.DryRun && v.Block == "":
		fmt.Fprintf(w, "would remove the cortex block from %s\n", v.File)
	case v.DryRun:
		fmt.Fprintf(w, "would append to %s:\n%s", v.File, v.Block)
	case v.Block == "":
		fmt.Fprintf(w, "removed the cortex block from %s\n", v.File)
	default:
		fmt.Fprintf(w, "added the cortex block to %s; new shells use it\n", v.File)
	}
	if v.Backup != "" {
		fmt.Fprintf(w, "saved a copy of the old file as %s\n", v.Backup)
	}
}
