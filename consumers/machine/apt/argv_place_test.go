package apt

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// programs are the names that only argv.go writes.
var programs = map[string]bool{
	aptGet: true, aptMark: true, aptCache: true, dpkg: true, dpkgQuery: true, dpkgDivert: true, dpkgStatoverride: true, alternativesTool: true,
	"apt": true, "apt-config": true, "dpkg-deb": true, "dpkg-trigger": true, "debconf-set-selections": true, "debconf-communicate": true,
}

// packageNames are string literals outside argv.go that are names of packages.
var packageNames = map[string][]string{"describe.go": {"apt", "dpkg"}} // apt refuses to remove them

// TestOnlyArgvMakesCommands parses the package: outside argv.go no string names
// a program, no literal or conversion makes a command, and only prepare makes the
// process of one.
func TestOnlyArgvMakesCommands(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	starts := 0
	for _, entry := range files {
		name := entry.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		function := ""
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				function = n.Name.Name
			case *ast.BasicLit:
				text, _ := strconv.Unquote(n.Value)
				if n.Kind == token.STRING && name != "argv.go" && programs[text] && !slices.Contains(packageNames[name], text) {
					t.Errorf("%s: %q: only argv.go names programs", fset.Position(n.Pos()), text)
				}
			case *ast.CompositeLit:
				if isIdent(n.Type, "command") && name != "argv.go" {
					t.Errorf("%s: only argv.go makes commands", fset.Position(n.Pos()))
				}
				if isSelector(n.Type, "exec", "Cmd") {
					starts++
					if function != "prepare" {
						t.Errorf("%s: %s makes a process: only prepare may, from a command", fset.Position(n.Pos()), function)
					}
				}
			case *ast.CallExpr:
				if (isIdent(n.Fun, "command") || isIdent(n.Fun, "newCommand")) && name != "argv.go" {
					t.Errorf("%s: only argv.go makes commands", fset.Position(n.Pos()))
				}
				for _, f := range []string{"Command", "CommandContext"} {
					if isSelector(n.Fun, "exec", f) {
						t.Errorf("%s: exec.%s: only prepare may make a process, from a command", fset.Position(n.Pos()), f)
					}
				}
			}
			return true
		})
	}
	if starts != 1 {
		t.Errorf("%d places make a process, want 1: this test no longer finds them", starts)
	}
}

func isIdent(e ast.Expr, name string) bool {
	i, ok := e.(*ast.Ident)
	return ok && i.Name == name
}

func isSelector(e ast.Expr, pkg, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	return ok && isIdent(s.X, pkg) && s.Sel.Name == name
}
