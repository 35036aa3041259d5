package cli

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// groupWalls lists the packages that a command group must not import, with reasons.
var groupWalls = []struct{ pattern, reason string }{
	{"cortex/embedded", "storage belongs to the daemon and to read models; a group asks package app"},
	{"cortex/consumers/machine", "effects on the machine and its state are behind package app"},
}

// sharedGroups are the groups that other groups may import, and why.
var sharedGroups = map[string]string{
	"transactcmd": "an import of a manifest is a transaction: it has the same flags and prints the same",
}

// groupExceptions are imports that break a wall, by group, and why.
var groupExceptions = map[string]map[string]string{
	"limitscmd": {
		"cortex/consumers/machine/limits": "'limits list' and 'limits show' read presets and control groups without a daemon",
		"cortex/embedded/slotcache":       "--memory has the size parser of the slot cache",
	},
}

// imports returns the imported packages of the files in a directory, with the files.
func imports(t *testing.T, dir string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no files, %v", dir, err)
	}
	out := map[string][]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			out[name] = append(out[name], file)
		}
	}
	return out
}

func TestCommandGroupsKeepTheirWalls(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	groups := 0
	for _, e := range entries {
		group := e.Name()
		if !e.IsDir() || !strings.HasSuffix(group, "cmd") {
			continue
		}
		groups++
		for imported, files := range imports(t, group) {
			reason := brokenWall(group, imported)
			if reason == "" {
				continue
			}
			if why := groupExceptions[group][imported]; why != "" {
				used[group+imported] = true
				continue
			}
			t.Errorf("%v import %s: %s", files, imported, reason)
		}
		if other, shared := strings.CutPrefix(usedShared(t, group), "cortex/cmd/cli/"); shared {
			used[other] = true
		}
	}
	if groups < 10 {
		t.Errorf("%d groups: the test looks at the wrong place", groups)
	}
	for group, list := range groupExceptions {
		for imported := range list {
			if !used[group+imported] {
				t.Errorf("%s does not import %s any more: remove the exception", group, imported)
			}
		}
	}
	for group := range sharedGroups {
		if !used[group] {
			t.Errorf("no group imports %s any more: remove the exception", group)
		}
	}
}

// brokenWall returns the reason why a group must not import a package, "" if it may.
func brokenWall(group, imported string) string {
	for _, w := range groupWalls {
		if imported == w.pattern || strings.HasPrefix(imported, w.pattern+"/") {
			return w.reason
		}
	}
	other, isCLI := strings.CutPrefix(imported, "cortex/cmd/cli/")
	if isCLI && other != group && strings.HasSuffix(other, "cmd") && sharedGroups[other] == "" {
		return "groups are independent; what they share is in cmdutil or package app"
	}
	return ""
}

// usedShared returns the shared group that a group imports, "" if none.
func usedShared(t *testing.T, group string) string {
	for imported := range imports(t, group) {
		if sharedGroups[strings.TrimPrefix(imported, "cortex/cmd/cli/")] != "" {
			return imported
		}
	}
	return ""
}

// TestGroupWallsHaveASubject fails for a rule about packages that do not exist any more.
func TestGroupWallsHaveASubject(t *testing.T) {
	for _, w := range groupWalls {
		dir := filepath.Join("..", "..", strings.TrimPrefix(w.pattern, "cortex/"))
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			t.Errorf("%s is not a folder: remove the rule or rename it", w.pattern)
		}
	}
}
