package testbed

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// FullState returns the state of the bed, without the code under test: every package
// with its status, mark and hold, the registry of conffiles, every path under /etc,
// debconf's answers, alternatives, diversions and statoverrides. It omits accounts and
// files that programs write by themselves.
func (b *Bed) FullState(t testing.TB) map[string]string {
	t.Helper()
	out := map[string]string{}
	for k, v := range b.PackageStates(t) {
		out["package "+k] = v
	}
	for key, lines := range b.registry(t) {
		slices.Sort(lines)
		out["registry "+key] = strings.Join(lines, "\n")
	}
	b.addFiles(t, "/etc", out)
	b.addDebconf(t, "/var/cache/debconf/config.dat", out)
	b.addDebconf(t, "/var/cache/debconf/passwords.dat", out)
	for _, p := range []string{"/var/lib/dpkg/diversions", "/var/lib/dpkg/statoverride"} {
		if b.Exists(p) {
			lines := strings.Split(strings.TrimSpace(b.ReadFile(t, p)), "\n")
			out[p] = strings.Join(lines, "\n")
		}
	}
	groups, err := os.ReadDir(b.path("/var/lib/dpkg/alternatives"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, g := range groups {
		mode, _, _ := strings.Cut(b.ReadFile(t, "/var/lib/dpkg/alternatives/"+g.Name()), "\n")
		out["alternative "+g.Name()] = mode
	}
	maps.DeleteFunc(out, func(k, _ string) bool { return ignored[k] })
	return out
}

// ignored are paths that no undo restores.
var ignored = map[string]bool{
	"file /etc/ld.so.cache": true, "file /etc/.pwd.lock": true, "file /etc/resolv.conf": true,
	"file /etc/passwd": true, "file /etc/passwd-": true, "file /etc/group": true, "file /etc/group-": true,
	"file /etc/shadow": true, "file /etc/shadow-": true, "file /etc/gshadow": true, "file /etc/gshadow-": true,
}

func (b *Bed) registry(t testing.TB) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	name := ""
	for line := range strings.Lines(b.Run(t, "/usr/bin/dpkg-query", "-W", "-f", `${Package}:${Architecture}\n${Conffiles}\n`)) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, " "):
			out[name] = append(out[name], strings.TrimSpace(line))
		case line != "":
			name = line
		}
	}
	return out
}

func (b *Bed) addFiles(t testing.TB, top string, out map[string]string) {
	t.Helper()
	err := filepath.WalkDir(b.path(top), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		what := fmt.Sprintf("%v %d:%d", info.Mode(), st.Uid, st.Gid)
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			what += fmt.Sprintf(" %x", sha256.Sum256(content))
			if len(content) < 200 {
				what += fmt.Sprintf(" %q", content)
			}
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			what += " → " + target
		}
		out["file "+strings.TrimPrefix(name, b.root)] = what
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (b *Bed) addDebconf(t testing.TB, path string, out map[string]string) {
	t.Helper()
	if !b.Exists(path) {
		return
	}
	name := ""
	s := bufio.NewScanner(strings.NewReader(b.ReadFile(t, path)))
	for s.Scan() {
		if n, ok := strings.CutPrefix(s.Text(), "Name: "); ok {
			name = n
			out["debconf "+name] = ""
		} else if name != "" && s.Text() != "" {
			out["debconf "+name] += s.Text() + "\n"
		}
	}
}
