// Package shellrc adds a marked block to the file that a shell reads at its start, and
// removes it.
//
// It promises that everything outside the block stays byte for byte, that the first change
// keeps a copy beside the file, and that removing the block restores the original content.
package shellrc

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"cortex/events"
	"cortex/internal/atomicfile"
)

// The lines around the block, and the suffix of the copy.
const (
	begin        = "# >>> cortex shell install >>>"
	end          = "# <<< cortex shell install <<<"
	backupSuffix = ".before-cortex"
)

// Shells are the supported shells.
var Shells = []string{"bash", "zsh", "fish"}

// CheckShell returns ErrUsage unless the shell is supported.
func CheckShell(name string) error {
	for _, s := range Shells {
		if s == name {
			return nil
		}
	}
	return &events.Error{
		Op: "shellrc.CheckShell", Kind: events.ErrUsage, Subject: strconv.Quote(name), Err: errors.New("unsupported shell"),
		Hint: "name one of " + strings.Join(Shells, ", "),
	}
}

// Block returns the block that evaluates the output of a command. It does nothing after
// cortex is removed.
func Block(shell, command string) string {
	line := "if command -v cortex >/dev/null; then eval \"$(" + command + ")\"; fi"
	if shell == "fish" {
		line = "if command -q cortex; " + command + " | source; end"
	}
	return begin + "\n" + line + "\n" + end + "\n"
}

// Edit is a change of a shell's file.
type Edit struct {
	Shell, File string
	Backup      string // the copy that the change makes; "" for none
	Block       string // "" to remove the block
	Changed     bool   // the file differs from what it should be

	old, content []byte
	restored     bool // content is what the file was before the first change
}

// Plan computes the change that gives the file of a shell this block; an empty block
// removes it. The user's environment names the file. Plan writes nothing.
func Plan(env func(string) string, shell, block string) (Edit, error) {
	e := Edit{Shell: shell, Block: block}
	var err error
	if e.File, err = rcFile(env, shell); err != nil {
		return e, err
	}
	e.old, err = os.ReadFile(e.File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return e, fileError(e.File, err)
	}
	exists := err == nil
	if e.content, err = replaceBlock(e.old, block); err != nil {
		return e, &events.Error{
			Op: "shellrc.Plan", Kind: events.ErrConflict, Subject: e.File, Err: err,
			Hint: "remove the lines between the markers, and the markers, with an editor",
		}
	}
	backup, _ := os.ReadFile(e.File + backupSuffix) // nil without a copy
	if block == "" && bytes.Equal(e.content, append(bytes.Clone(backup), '\n')) {
		e.content = backup // the last line had no newline
	}
	e.Changed = !bytes.Equal(e.old, e.content)
	e.restored = block == "" && bytes.Equal(e.content, backup)
	if e.Changed && exists && block != "" && !bytes.Contains(e.old, []byte(begin)) {
		e.Backup = e.File + backupSuffix
	}
	return e, nil
}

// Apply writes the change.
func (e Edit) Apply() error {
	if !e.Changed {
		return nil
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(e.File); err == nil {
		mode = info.Mode().Perm()
	}
	err := os.MkdirAll(filepath.Dir(e.File), 0o755)
	if err == nil && e.Backup != "" {
		err = os.WriteFile(e.Backup, e.old, mode)
	}
	if err == nil {
		err = atomicfile.Write(e.File, e.content, atomicfile.Options{Mode: mode, Temp: filepath.Base(e.File) + ".cortex-new"})
	}
	if err == nil && e.restored {
		err = os.Remove(e.File + backupSuffix)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileError(e.File, err)
	}
	return nil
}

// rcFile returns the file that a shell reads at its start. It resolves links.
func rcFile(env func(string) string, shell string) (string, error) {
	home := env("HOME")
	if !filepath.IsAbs(home) {
		return "", &events.Error{
			Op: "shellrc.Plan", Kind: events.ErrUsage, Subject: "HOME=" + home, Err: errors.New("not an absolute path"),
			Hint: "set HOME to your home directory",
		}
	}
	path := filepath.Join(home, ".bashrc")
	switch shell {
	case "zsh":
		path = filepath.Join(cmp.Or(env("ZDOTDIR"), home), ".zshrc")
	case "fish":
		path = filepath.Join(cmp.Or(env("XDG_CONFIG_HOME"), filepath.Join(home, ".config")), "fish", "config.fish")
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target, nil
	}
	return path, nil
}

// replaceBlock returns the content with another block, or without one.
func replaceBlock(old []byte, block string) ([]byte, error) {
	text := string(old)
	before, rest, found := strings.Cut(text, begin+"\n")
	if !found {
		if block != "" && text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		return []byte(text + block), nil
	}
	_, after, closed := strings.Cut(rest, end+"\n")
	if !closed || strings.Contains(after, begin) {
		return nil, errors.New("the markers of the cortex block are not a pair")
	}
	return []byte(before + block + after), nil
}

func fileError(path string, err error) error {
	return &events.Error{Op: "shellrc.Edit", Kind: events.ErrUnavailable, Subject: path, Err: err}
}
