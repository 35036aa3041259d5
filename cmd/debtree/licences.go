package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// noticesFile is where the package keeps the notices.
const noticesFile = "/usr/share/doc/cortex/third-party-licences.gz"

// builds are the build tags of the programs in the package: cortexd, then cortex.
var builds = []string{"", "noengine"}

// linkedModule is a module with code in a program.
type linkedModule struct {
	name string   // path and version; for the standard library "go" and its version
	root string   // directory of the module
	dirs []string // directories of the linked packages
}

// writeLicences writes the licence texts and notices of everything that is linked into
// the programs of the package.
func writeLicences(dir string) error {
	text, err := notices()
	if err != nil {
		return err
	}
	return writeCompressed(dir, noticesFile, text)
}

// notices returns one section for each linked module. A module without a licence file
// is an error.
func notices() ([]byte, error) {
	modules, err := linkedModules()
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	text.WriteString("The programs in this package contain code from these modules, under these terms.\n")
	for _, m := range modules {
		fmt.Fprintf(&text, "\n== %s\n", m.name)
		n, err := appendLicences(&text, m)
		if err == nil && n == 0 {
			err = errors.New("no licence file")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return text.Bytes(), nil
}

// linkedModules asks the go command for the packages of both programs, grouped by
// module. The standard library comes first.
func linkedModules() ([]linkedModule, error) {
	const each = `{{if .Standard}}{{else if .Module}}{{if not .Module.Main}}{{.Module.Path}} {{.Module.Version}}	{{.Module.Dir}}	{{.Dir}}{{end}}{{end}}`
	byName := map[string]linkedModule{}
	for _, tags := range builds {
		list := exec.Command("go", "list", "-deps", "-tags", tags, "-f", each, "cortex/cmd/cortex")
		list.Env, list.Stderr = append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
		out, err := list.Output()
		if err != nil {
			return nil, fmt.Errorf("list the linked packages: %w", err)
		}
		for line := range strings.Lines(string(out)) {
			f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
			if len(f) != 3 {
				continue
			}
			m := byName[f[0]]
			m.name, m.root, m.dirs = f[0], f[1], append(m.dirs, f[2])
			byName[f[0]] = m
		}
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("find the standard library: %w", err)
	}
	goRoot := strings.TrimSpace(string(root))
	modules := []linkedModule{{"go " + runtime.Version(), goRoot, []string{goRoot}}}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		modules = append(modules, byName[name])
	}
	return modules, nil
}

// appendLicences appends the licence and notice files between a module's root and its
// linked packages, and returns how many there are.
func appendLicences(into *bytes.Buffer, m linkedModule) (int, error) {
	n := 0
	for _, dir := range licenceDirs(m) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return n, err
		}
		for _, e := range entries {
			if e.IsDir() || !isLicence(e.Name()) {
				continue
			}
			path := filepath.Join(dir, e.Name())
			b, err := os.ReadFile(path)
			if err != nil {
				return n, err
			}
			name, err := filepath.Rel(m.root, path)
			if err != nil {
				return n, err
			}
			fmt.Fprintf(into, "\n-- %s\n\n%s\n", name, bytes.TrimSpace(b))
			n++
		}
	}
	return n, nil
}

// licenceDirs returns the module's root, the directories of the linked packages and
// those between: code that a module took from elsewhere has its licence beside it.
func licenceDirs(m linkedModule) []string {
	dirs := map[string]bool{m.root: true}
	for _, dir := range m.dirs {
		for ; len(dir) > len(m.root); dir = filepath.Dir(dir) {
			dirs[dir] = true
		}
	}
	return slices.Sorted(maps.Keys(dirs))
}

func isLicence(file string) bool {
	if filepath.Ext(file) == ".go" {
		return false
	}
	file = strings.ToUpper(file)
	return slices.ContainsFunc([]string{"LICEN", "COPYING", "NOTICE", "PATENTS"}, func(p string) bool { return strings.HasPrefix(file, p) })
}
