package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// writeLicences collects the licence texts of every module whose code is in the programs.
func writeLicences(dir string) error {
	const each = `{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}	{{.Dir}}{{end}}{{end}}`
	list := exec.Command("go", "list", "-deps", "-f", each, "./cmd/cortex", "./cmd/cortex-nvml")
	list.Env, list.Stderr = append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("list what is linked in: %w", err)
	}
	modules := slices.DeleteFunc(strings.Split(string(out), "\n"), func(l string) bool { return l == "" })
	slices.Sort(modules)
	var text bytes.Buffer
	text.WriteString("The programs of this package hold code of these modules, under these terms.\n")
	for _, m := range slices.Compact(modules) {
		name, at, _ := strings.Cut(m, "\t")
		fmt.Fprintf(&text, "\n== %s\n", name)
		n, err := appendLicences(&text, at)
		if err == nil && n == 0 {
			err = errors.New("has no licence file")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return writeCompressed(dir, "/usr/share/doc/cortex/third-party-licences.gz", text.Bytes())
}

// appendLicences appends a module's licence and notice files and gives how many there are.
func appendLicences(into *bytes.Buffer, dir string) (int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		if e.IsDir() || !strings.HasPrefix(name, "LICEN") && !strings.HasPrefix(name, "COPYING") && !strings.HasPrefix(name, "NOTICE") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return n, err
		}
		fmt.Fprintf(into, "\n-- %s\n\n%s\n", e.Name(), bytes.TrimSpace(b))
		n++
	}
	return n, nil
}
