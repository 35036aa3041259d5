package docs_test

import (
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// tools start processes in the build or in tests, not on a user's machine.
var tools = []string{"cmd/debtree", "consumers/machine/testbed", "embedded/slotcache/llamatest"}

// TestProcessesStartWhereContributingSays compares the section of CONTRIBUTING.md with
// the folders whose code imports os/exec.
func TestProcessesStartWhereContributingSays(t *testing.T) {
	_, section, found := strings.Cut(read(t, "../CONTRIBUTING.md"), "\n## Where processes start\n")
	section, _, _ = strings.Cut(section, "\n## ")
	if !found {
		t.Fatal("CONTRIBUTING.md has no section on processes")
	}
	used := map[string]bool{}
	for _, m := range regexp.MustCompile("`([a-z]+/[a-z/]+)(?:/[a-z]+\\.go)?`").FindAllStringSubmatch(section, -1) {
		used[m[1]] = false
	}
	forEachText(t, func(name, text string) {
		name = strings.TrimPrefix(name, "../")
		dir := path.Dir(name)
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || slices.Contains(tools, dir) || !importsExec(t, name, text) {
			return
		}
		for ; dir != "."; dir = path.Dir(dir) {
			if _, named := used[dir]; named {
				used[dir] = true
				return
			}
		}
		t.Errorf("%s imports os/exec, and CONTRIBUTING.md does not name its folder", name)
	})
	for dir, is := range used {
		if !is {
			t.Errorf("CONTRIBUTING.md names %s, where nothing imports os/exec", dir)
		}
	}
}

func importsExec(t *testing.T, name, text string) bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range f.Imports {
		if i.Path.Value == `"os/exec"` {
			return true
		}
	}
	return false
}
