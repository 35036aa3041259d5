package systemcmd

import (
	"bytes"
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

// hookMark is in every drop-in of ours; a file without it is somebody else's.
const hookMark = "installed by 'cortex hooks install'"

// dropIn is one file that makes a package manager call us.
type dropIn struct {
	path, content string
}

// dropIns are the files for a binary. They are harmless when the binary is gone,
// and never fail.
func dropIns(binary string) []dropIn {
	call := func(when string) string {
		return "if [ -x " + binary + " ]; then " + binary + " hook " + when + " || true; fi"
	}
	return []dropIn{
		{"/etc/apt/apt.conf.d/05cortex", "// " + hookMark + `: 'cortex hooks uninstall' takes it away.
DPkg::Pre-Install-Pkgs { "` + call("apt-pre") + `; cat >/dev/null"; };
DPkg::Tools::Options::if::Version "3";
DPkg::Post-Invoke { "` + call("apt-post") + `"; };
`},
		{"/etc/dpkg/dpkg.cfg.d/cortex", "# " + hookMark + `: 'cortex hooks uninstall' takes it away.
pre-invoke="` + call("dpkg-pre") + `"
post-invoke="` + call("dpkg-post") + `"
`},
	}
}

// DropIns are the files that make apt and dpkg call a binary, by path, for a package
// of the system that brings them along.
func DropIns(binary string) map[string]string {
	files := map[string]string{}
	for _, d := range dropIns(binary) {
		files[d.path] = d.content
	}
	return files
}

func newHooks(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "hooks", Short: "Let apt and dpkg tell what others change", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `With hooks, what apt, aptitude, nala, unattended-upgrades or dpkg by hand change is
in the history as transactions of their own, with who and by what command, and can
be undone. The hooks never hold up or fail a package manager, and do nothing once
cortex is gone. Without them such changes are found later, as drift.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		&cobra.Command{Use: "install", Short: "Install the hooks", Args: cmdutil.CheckArgs(cobra.NoArgs), RunE: func(*cobra.Command, []string) error { return a.installHooks() }},
		&cobra.Command{Use: "uninstall", Short: "Take the hooks away", Args: cmdutil.CheckArgs(cobra.NoArgs), RunE: func(*cobra.Command, []string) error { return a.uninstallHooks() }},
		&cobra.Command{Use: "status", Short: "Tell whether the hooks are installed", Args: cmdutil.CheckArgs(cobra.NoArgs), RunE: func(*cobra.Command, []string) error { return a.hooksStatus() }},
	)
	return cmd
}

func (a *commands) hookFile(d dropIn) string { return filepath.Join(a.Settings.Root, d.path) }

func (a *commands) RequireRoot(what string) error {
	if a.UID == 0 {
		return nil
	}
	return &events.Error{Op: "cli.hooks", Kind: events.ErrConfirmation, Err: errors.New(what + " needs root"), Hint: "run: sudo cortex " + strings.Join(a.Args, " ")}
}

func (a *commands) installHooks() error {
	if err := a.RequireRoot("installing hooks"); err != nil {
		return err
	}
	binary, err := os.Executable()
	if err != nil || strings.ContainsAny(binary, " \"'\\$`") || strings.HasPrefix(binary, os.TempDir()+"/") {
		return &events.Error{Op: "cli.hooks", Kind: events.ErrUsage, Subject: binary, Err: errors.New("is not where a program stays"), Hint: "install cortex first: make install"}
	}
	for _, d := range dropIns(binary) {
		old, err := os.ReadFile(a.hookFile(d))
		if err == nil && !bytes.Contains(old, []byte(hookMark)) {
			return &events.Error{Op: "cli.hooks", Kind: events.ErrConflict, Subject: d.path, Err: errors.New("is somebody else's file"), Hint: "move it away"}
		}
		if err := writeWhole(a.hookFile(d), d.content); err != nil {
			return err
		}
	}
	if a.JSON {
		return a.hooksStatus()
	}
	a.Infof("apt and dpkg now tell what they change; 'cortex history' shows it")
	return nil
}

// writeWhole puts a file into place under a name that apt and dpkg ignore first.
func writeWhole(path, content string) error {
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = atomicfile.Write(path, []byte(content), atomicfile.Options{Mode: 0o644, Temp: filepath.Base(path) + ".cortex-new"})
	}
	if err != nil {
		return &events.Error{Op: "cli.hooks", Kind: events.ErrUnavailable, Subject: path, Err: err}
	}
	return nil
}

func (a *commands) uninstallHooks() error {
	if err := a.RequireRoot("taking hooks away"); err != nil {
		return err
	}
	for _, d := range dropIns("") {
		b, err := os.ReadFile(a.hookFile(d))
		if errors.Is(err, fs.ErrNotExist) || err == nil && !bytes.Contains(b, []byte(hookMark)) {
			continue
		}
		if err == nil {
			err = os.Remove(a.hookFile(d))
		}
		if err != nil {
			return &events.Error{Op: "cli.hooks", Kind: events.ErrUnavailable, Subject: d.path, Err: err}
		}
	}
	if a.JSON {
		return a.hooksStatus()
	}
	a.Infof("the hooks are gone")
	return nil
}

func (a *commands) hooksStatus() error {
	type file struct {
		Path      string `json:"path"`
		Installed bool   `json:"installed"`
	}
	view := struct {
		Version int    `json:"version"`
		Files   []file `json:"files"`
	}{Version: 1}
	for _, d := range dropIns("") {
		b, err := os.ReadFile(a.hookFile(d))
		view.Files = append(view.Files, file{d.path, err == nil && bytes.Contains(b, []byte(hookMark))})
	}
	return a.PrintResult(view, func(w io.Writer) {
		for _, f := range view.Files {
			word := "not installed"
			if f.Installed {
				word = "installed"
			}
			fmt.Fprintf(w, "%-32s %s\n", f.Path, word)
		}
	})
}
