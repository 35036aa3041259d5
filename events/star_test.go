package events_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// rooms has, for each top-level folder, the folders of the module that it may import and
// the packages that it must not. The test parses the files itself: the test cache would
// not notice a change in another package if the test ran the go tool.
var rooms = map[string]struct{ ours, banned []string }{
	"events":      {nil, []string{"os", "os/exec", "net", "net/http", "database/sql"}},
	"producers":   {[]string{"events", "internal"}, []string{"database/sql"}},
	"consumers":   {[]string{"events", "internal"}, []string{"database/sql"}},
	"projections": {[]string{"events", "internal"}, []string{"os/exec", "net", "net/http"}},
	"embedded":    {[]string{"events", "internal"}, nil},
	"cmd":         {[]string{"events", "producers", "consumers", "projections", "embedded", "internal"}, nil},
	// Libraries that know nothing of Cortex. Were one to import a folder of ours, the
	// folders that use it would import each other through it.
	"internal": {nil, []string{"os/exec", "net", "net/http", "database/sql"}},
}

func TestImportsFormAStar(t *testing.T) {
	for room, rule := range rooms {
		seen := 0
		err := filepath.WalkDir(filepath.Join("..", room), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			seen++
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			for _, spec := range f.Imports {
				imported, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					return err
				}
				if strings.HasSuffix(filepath.Dir(path), "test") && !strings.HasPrefix(imported, "cortex/") {
					continue // suites and test helpers
				}
				if why := forbidden(room, rule.ours, rule.banned, imported); why != "" {
					t.Errorf("%s imports %s: %s", path, imported, why)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if seen == 0 {
			t.Errorf("no files in %s: the test looks at the wrong place", room)
		}
	}
}

func forbidden(room string, ours, banned []string, imported string) string {
	for _, b := range banned {
		if imported == b {
			return room + " must not use it"
		}
	}
	if rest, ok := strings.CutPrefix(imported, "cortex/"); ok {
		other, _, _ := strings.Cut(rest, "/")
		if other == room {
			return ""
		}
		for _, o := range ours {
			if o == other {
				return ""
			}
		}
		if room == "internal" {
			return "internal is for libraries that know nothing of Cortex; a package that needs another folder belongs to its caller"
		}
		if other == "internal" {
			return "events uses the standard library only"
		}
		return "the folders of the star do not import each other"
	}
	if room == "events" && strings.Contains(imported, ".") {
		return "events uses the standard library only"
	}
	return ""
}
