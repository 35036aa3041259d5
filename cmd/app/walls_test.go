package app

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// walls lists the packages that package app must not import, directly or through other packages of this
// module, and why.
var walls = []struct{ pattern, reason string }{
	{"github.com/spf13/cobra", "a use case has no flags; the command line parses them"},
	{"github.com/spf13/pflag", "a use case has no flags; the command line parses them"},
	{"golang.org/x/term", "a use case reads no terminal; it asks through an interface"},
	{"cortex/cmd/output", "a use case prints nothing; it returns values"},
	{"cortex/cmd/cli", "the command line is one front end of many"},
}

// TestUseCasesKnowNoFrontEnd parses package app and everything of this module that it
// imports.
func TestUseCasesKnowNoFrontEnd(t *testing.T) {
	seen := map[string]bool{}
	var visit func(pkg, through string)
	visit = func(pkg, through string) {
		if seen[pkg] {
			return
		}
		seen[pkg] = true
		files, err := filepath.Glob(filepath.Join("..", "..", strings.TrimPrefix(pkg, "cortex/"), "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files, %v", pkg, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range f.Imports {
				imported, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				for _, w := range walls {
					if imported == w.pattern || strings.HasPrefix(imported, w.pattern+"/") {
						t.Errorf("%s imports %s (%s): %s", file, imported, through, w.reason)
					}
				}
				if strings.HasPrefix(imported, "cortex/") {
					visit(imported, through+" → "+imported)
				}
			}
		}
	}
	visit("cortex/cmd/app", "cortex/cmd/app")
	if len(seen) < 20 {
		t.Errorf("%d packages: the test looks at the wrong place", len(seen))
	}
}

// TestWallsHaveASubject fails for a rule about a package that is not used any more.
func TestWallsHaveASubject(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range walls {
		if dir, ours := strings.CutPrefix(w.pattern, "cortex/"); ours {
			if info, err := os.Stat(filepath.Join("..", "..", dir)); err != nil || !info.IsDir() {
				t.Errorf("%s is not a folder: remove the rule or rename it", w.pattern)
			}
			continue
		}
		if !strings.Contains(string(mod), w.pattern+" ") {
			t.Errorf("go.mod does not require %s: remove the rule", w.pattern)
		}
	}
}
