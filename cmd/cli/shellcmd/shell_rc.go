package shellcmd

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/events"
	"cortex/internal/atomicfile"
)

// The lines around what is ours in somebody's file, and the name of the copy.
const (
	rcBegin  = "# >>> cortex shell install >>>"
	rcEnd    = "# <<< cortex shell install <<<"
	rcBackup = ".before-cortex"
)

func newShellInstall(a *commands) *cobra.Command {
	var parts shellParts
	var dry bool
	cmd := &cobra.Command{
		Use: "install [bash|zsh|fish]", Short: "Have every new shell evaluate it", Args: cmdutil.CheckArgs(cobra.MaximumNArgs(1)), ValidArgs: shells,
		Long: `Put a marked block into the file that your shell reads at its start (~/.bashrc,
~/.zshrc or ~/.config/fish/config.fish), and keep a copy of the file beside it. The
shell is the one you name, or the one you log in with.

  cortex shell install --dry-run
  cortex shell install zsh --command-not-found`,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.editRC(args, dry, func(shell string) string { return rcBlock(shell, parts) })
		},
	}
	parts.flags(cmd)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "show the file's name and the block, and write nothing")
	return cmd
}

func newShellUninstall(a *commands) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "uninstall [bash|zsh|fish]", Short: "Take the block out again", Args: cmdutil.CheckArgs(cobra.MaximumNArgs(1)), ValidArgs: shells,
		Long: `Take the marked block out of the file that your shell reads at its start. Everything
else in it stays as it is.

  cortex shell uninstall`,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.editRC(args, dry, func(string) string { return "" })
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "show the file's name, and write nothing")
	return cmd
}

// rcBlock does nothing once cortex is gone.
func rcBlock(shell string, parts shellParts) string {
	call := "cortex shell init " + shell + parts.words()
	line := "if command -v cortex >/dev/null; then eval \"$(" + call + ")\"; fi"
	if shell == "fish" {
		line = "if command -q cortex; " + call + " | source; end"
	}
	return rcBegin + "\n" + line + "\n" + rcEnd + "\n"
}

// rcFile is the file that a shell reads at its start.
func (a *commands) rcFile(shell string) (string, error) {
	home := a.Env("HOME")
	if !filepath.IsAbs(home) {
		return "", &events.Error{Op: "cli.shell", Kind: events.ErrUsage, Subject: "HOME", Err: errors.New("names no directory")}
	}
	path := filepath.Join(home, ".bashrc")
	switch shell {
	case "zsh":
		path = filepath.Join(cmp.Or(a.Env("ZDOTDIR"), home), ".zshrc")
	case "fish":
		path = filepath.Join(cmp.Or(a.Env("XDG_CONFIG_HOME"), filepath.Join(home, ".config")), "fish", "config.fish")
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target, nil // somebody keeps such files elsewhere
	}
	return path, nil
}

// rcView is what was done to which file, as JSON.
type rcView struct {
	Version int    `json:"version"`
	Shell   string `json:"shell"`
	File    string `json:"file"`
	Backup  string `json:"backup,omitempty"` // the copy that was made
	Block   string `json:"block,omitempty"`
	Changed bool   `json:"changed"`
	DryRun  bool   `json:"dry_run"`
}

// editRC replaces the block in a shell's file.
func (a *commands) editRC(args []string, dry bool, block func(shell string) string) error {
	shell := filepath.Base(a.Env("SHELL"))
	if len(args) == 1 {
		shell = args[0]
	}
	if err := knownShell(shell); err != nil {
		return err
	}
	path, err := a.rcFile(shell)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return rcError(path, err)
	}
	there := err == nil
	v := rcView{Version: 1, Shell: shell, File: path, Block: block(shell), DryRun: dry}
	content, err := withBlock(old, v.Block)
	if err != nil {
		return &events.Error{Op: "cli.shell", Kind: events.ErrConflict, Subject: path, Err: err, Hint: "take the lines between the marks out by hand"}
	}
	backup, _ := os.ReadFile(path + rcBackup)
	if v.Block == "" && bytes.Equal(content, append(bytes.Clone(backup), '\n')) {
		content = backup // its last line had no end
	}
	v.Changed = !bytes.Equal(old, content)
	if v.Changed && !dry {
		if there && v.Block != "" && !bytes.Contains(old, []byte(rcBegin)) {
			v.Backup = path + rcBackup
		}
		if err := writeRC(path, old, content, v.Backup); err != nil {
			return err
		}
		if v.Block == "" && bytes.Equal(content, backup) {
			_ = os.Remove(path + rcBackup)
		}
	}
	return a.PrintResult(v, v.text)
}

func (v rcView) text(w io.Writer) {
	switch {
	case v.DryRun && v.Changed:
		fmt.Fprintf(w, "%s would be written\n%s", v.File, v.Block)
	case !v.Changed:
		fmt.Fprintf(w, "%s is as it should be\n", v.File)
	case v.Block == "":
		fmt.Fprintf(w, "%s: the block is out\n", v.File)
	default:
		fmt.Fprintf(w, "%s: the block is in; new shells have it\n", v.File)
	}
	if v.Backup != "" {
		fmt.Fprintf(w, "%s is what it was\n", v.Backup)
	}
}

// withBlock gives the content with another block, or with none.
func withBlock(old []byte, block string) ([]byte, error) {
	text := string(old)
	before, rest, found := strings.Cut(text, rcBegin+"\n")
	if !found {
		if block != "" && text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		return []byte(text + block), nil
	}
	_, after, closed := strings.Cut(rest, rcEnd+"\n")
	if !closed || strings.Contains(after, rcBegin) {
		return nil, errors.New("the marks in it are not a pair")
	}
	return []byte(before + block + after), nil
}

// writeRC writes a file in one go, with the rights that it had, and first the copy.
func writeRC(path string, old, content []byte, backup string) error {
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil && backup != "" {
		err = os.WriteFile(backup, old, mode)
	}
	if err == nil {
		err = atomicfile.Write(path, content, atomicfile.Options{Mode: mode, Temp: filepath.Base(path) + ".cortex-new"})
	}
	if err != nil {
		return rcError(path, err)
	}
	return nil
}

func rcError(path string, err error) error {
	return &events.Error{Op: "cli.shell", Kind: events.ErrUnavailable, Subject: path, Err: err}
}
