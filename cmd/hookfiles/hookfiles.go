// Package hookfiles installs the two configuration files that make apt and dpkg call
// cortex.
//
// It promises that the files do nothing once cortex is removed, never fail a package
// manager, and appear and disappear whole; and that a file that cortex did not write is
// neither replaced nor removed.
package hookfiles

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cortex/events"
	"cortex/internal/atomicfile"
)

// mark is in every file of ours.
const mark = "installed by 'cortex hooks install'"

// file is one configuration file of a package manager.
type file struct {
	path, content string
}

// files returns the files for a binary.
func files(binary string) []file {
	call := func(when string) string {
		return "if [ -x " + binary + " ]; then " + binary + " hook " + when + " || true; fi"
	}
	return []file{
		{"/etc/apt/apt.conf.d/05cortex", "// " + mark + `: 'cortex hooks uninstall' takes it away.
DPkg::Pre-Install-Pkgs { "` + call("apt-pre") + `; cat >/dev/null"; };
DPkg::Tools::Options::if::Version "3";
DPkg::Post-Invoke { "` + call("apt-post") + `"; };
`},
		{"/etc/dpkg/dpkg.cfg.d/cortex", "# " + mark + `: 'cortex hooks uninstall' takes it away.
pre-invoke="` + call("dpkg-pre") + `"
post-invoke="` + call("dpkg-post") + `"
`},
	}
}

// Contents returns the files for a binary by path, for a Debian package that contains them.
func Contents(binary string) map[string]string {
	out := map[string]string{}
	for _, f := range files(binary) {
		out[f.path] = f.content
	}
	return out
}

// FileStatus is the state of one file. Its JSON form is part of 'cortex hooks status --json'.
type FileStatus struct {
	Path      string `json:"path"`
	Installed bool   `json:"installed"`
	Current   bool   `json:"-"` // it calls this binary
}

// Read returns the state of the files below root.
func Read(root, binary string) []FileStatus {
	var out []FileStatus
	for _, f := range files(binary) {
		b, err := os.ReadFile(filepath.Join(root, f.path))
		ours := err == nil && bytes.Contains(b, []byte(mark))
		out = append(out, FileStatus{f.path, ours, ours && string(b) == f.content})
	}
	return out
}

// Install writes the files below root. It fails with ErrConflict if a file of another owner
// has one of the names, and with ErrUsage if the binary is in a temporary place.
func Install(root, binary string) error {
	if strings.ContainsAny(binary, " \"'\\$`") || strings.HasPrefix(binary, os.TempDir()+"/") {
		return &events.Error{
			Op: "hookfiles.Install", Kind: events.ErrUsage, Subject: binary, Err: errors.New("the program is in a temporary directory, or its path has special characters"),
			Hint: "install cortex first: make install",
		}
	}
	for _, f := range files(binary) {
		path := filepath.Join(root, f.path)
		old, err := os.ReadFile(path)
		if err == nil && !bytes.Contains(old, []byte(mark)) {
			return &events.Error{
				Op: "hookfiles.Install", Kind: events.ErrConflict, Subject: f.path, Err: errors.New("the file exists and was not written by cortex"),
				Hint: "move the file away, and run 'cortex hooks install' again",
			}
		}
		if err := replace(path, f.content); err != nil {
			return err
		}
	}
	return nil
}

// replace writes a file under a name that apt and dpkg ignore and renames it.
func replace(path, content string) error {
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = atomicfile.Write(path, []byte(content), atomicfile.Options{Mode: 0o644, Temp: filepath.Base(path) + ".cortex-new"})
	}
	if err != nil {
		return &events.Error{Op: "hookfiles.Install", Kind: events.ErrUnavailable, Subject: path, Err: err}
	}
	return nil
}

// Uninstall removes the files below root that cortex wrote.
func Uninstall(root string) error {
	for _, f := range files("") {
		path := filepath.Join(root, f.path)
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !bytes.Contains(b, []byte(mark)) {
			continue
		}
		if err == nil {
			err = os.Remove(path)
		}
		if err != nil {
			return &events.Error{Op: "hookfiles.Uninstall", Kind: events.ErrUnavailable, Subject: f.path, Err: err}
		}
	}
	return nil
}
