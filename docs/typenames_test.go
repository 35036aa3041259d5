package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTypeNamesHaveOneMeaning holds that an exported type name occurs in several packages
// only if the glossary says what it means in all of them.
func TestTypeNamesHaveOneMeaning(t *testing.T) {
	_, section, found := strings.Cut(read(t, "glossary.md"), "\n## Type names in several packages\n")
	if !found {
		t.Fatal("docs/glossary.md has no section on type names")
	}
	shared := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|").FindAllStringSubmatch(section, -1) {
		shared[m[1]] = false
	}
	packages := map[string][]string{}
	forEachText(t, func(name, text string) {
		name = strings.TrimPrefix(name, "../")
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "docs/") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, s := range g.Specs {
				typ := s.(*ast.TypeSpec).Name
				if dir := path.Dir(name); typ.IsExported() && !slices.Contains(packages[typ.Name], dir) {
					packages[typ.Name] = append(packages[typ.Name], dir)
				}
			}
		}
	})
	for name, dirs := range packages {
		if len(dirs) < 2 {
			continue
		}
		if _, ok := shared[name]; !ok {
			t.Errorf("%s is a type in %s: rename all but one, or say in docs/glossary.md what it means in all", name, strings.Join(dirs, ", "))
		}
		shared[name] = true
	}
	for name, used := range shared {
		if !used {
			t.Errorf("docs/glossary.md: %s is no longer a type in several packages", name)
		}
	}
}
