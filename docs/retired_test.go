package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const module = "cortex/"

// retired is the table in CHANGELOG.md.
type retired struct {
	paths  map[string]string            // old import path → new one
	idents map[string]map[string]string // package → old identifier → new one
}

var renamed = regexp.MustCompile("`([^` ]+) → ([^` ]+)`")

func readRetired(t *testing.T) retired {
	t.Helper()
	r := retired{map[string]string{}, map[string]map[string]string{}}
	for line := range strings.Lines(read(t, "../CHANGELOG.md")) {
		cells := strings.Split(line, "|")
		if len(cells) != 4 || !strings.HasPrefix(cells[1], " `"+module) {
			continue
		}
		pkg := strings.Trim(cells[1], " `")
		pairs := renamed.FindAllStringSubmatch(cells[2], -1)
		if len(pairs) == 0 {
			r.paths[pkg] = strings.Trim(cells[2], " `")
			continue
		}
		r.idents[pkg] = map[string]string{}
		for _, p := range pairs {
			r.idents[pkg][p[1]] = p[2]
		}
	}
	if len(r.paths) < 30 || len(r.idents) < 50 {
		t.Fatalf("CHANGELOG.md: the tables have %d paths and %d packages; they were longer", len(r.paths), len(r.idents))
	}
	return r
}

// TestRetiredImportPaths holds that old import paths occur in CHANGELOG.md only, with or
// without the name of the module, and that the new ones exist.
func TestRetiredImportPaths(t *testing.T) {
	r := readRetired(t)
	for from, to := range r.paths {
		if _, err := os.Stat(filepath.Join("..", strings.TrimPrefix(to, module))); err != nil {
			t.Errorf("CHANGELOG.md: the new path of %s: %v", from, err)
		}
	}
	forEachText(t, func(name, text string) {
		for mention := range strings.FieldsFuncSeq(text, func(c rune) bool { return !isPathRune(c) }) {
			at := strings.TrimPrefix(strings.TrimLeft(strings.TrimPrefix(mention, "./"), "."), module)
			for ; strings.LastIndex(at, "/") > 0; at = at[:strings.LastIndex(at, "/")] {
				if to, ok := r.paths[module+strings.TrimRight(at, "./")]; ok {
					t.Errorf("%s mentions %s, which is %s now", name, mention, to)
				}
			}
		}
	})
}

func isPathRune(c rune) bool {
	return c == '/' || c == '.' || c == '-' || c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// TestRetiredIdentifiers holds that no package declares an exported identifier that it
// had before a renaming, and that no document and no comment names one.
func TestRetiredIdentifiers(t *testing.T) {
	r := readRetired(t)
	oldPath := map[string]string{}
	for from, to := range r.paths {
		oldPath[to] = from
	}
	mentions := map[string]bool{} // package.Identifier
	for pkg, idents := range r.idents {
		declared := declarations(t, filepath.Join("..", strings.TrimPrefix(pkg, module)))
		if len(declared) == 0 {
			t.Errorf("CHANGELOG.md: %s declares nothing: the package has moved", pkg)
		}
		reused := map[string]bool{}
		for _, now := range idents {
			reused[now] = true
		}
		for was, now := range idents {
			owner, member, isMember := strings.Cut(was, ".")
			if name := orSame(idents, owner) + "." + member; isMember && declared[name] && !reused[name] || declared[was] && !reused[was] {
				t.Errorf("%s declares %s, which is %s now", pkg, was, now)
			}
			if !isMember && !reused[was] {
				mentions[path.Base(pkg)+"."+was] = true
				if from := oldPath[pkg]; from != "" {
					mentions[path.Base(from)+"."+was] = true
				}
			}
		}
	}
	qualified := regexp.MustCompile(`\b[a-z]\w*\.[A-Z]\w*\b`)
	forEachText(t, func(name, text string) {
		for _, m := range qualified.FindAllString(prose(t, name, text), -1) {
			if mentions[m] {
				t.Errorf("%s mentions %s, which has another name now", name, m)
			}
		}
	})
}

func orSame(idents map[string]string, name string) string {
	if now, ok := idents[name]; ok {
		return now
	}
	return name
}

// prose returns a document whole and the comments of a Go file.
func prose(t *testing.T, name, text string) string {
	t.Helper()
	if !strings.HasSuffix(name, ".go") {
		return text
	}
	f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, c := range f.Comments {
		out.WriteString(c.Text() + "\n")
	}
	return out.String()
}

// declarations returns what the Go files of a directory declare at the top level, and
// methods and fields as Type.Name.
func declarations(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				out[receiver(d)+d.Name.Name] = true
			case *ast.GenDecl:
				for _, s := range d.Specs {
					declare(out, s)
				}
			}
		}
	}
	return out
}

// declare adds the names of a type, constant or variable and the members of a type.
func declare(out map[string]bool, s ast.Spec) {
	switch s := s.(type) {
	case *ast.ValueSpec:
		for _, n := range s.Names {
			out[n.Name] = true
		}
	case *ast.TypeSpec:
		out[s.Name.Name] = true
		var members *ast.FieldList
		switch body := s.Type.(type) {
		case *ast.StructType:
			members = body.Fields
		case *ast.InterfaceType:
			members = body.Methods
		default:
			return
		}
		for _, field := range members.List {
			for _, n := range field.Names {
				out[s.Name.Name+"."+n.Name] = true
			}
		}
	}
}

// receiver returns the type of a method with a dot, or nothing for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return ""
	}
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x.Name + "."
		default:
			return ""
		}
	}
}

// forEachText calls f with each source file and document of the repository but
// CHANGELOG.md.
func forEachText(t *testing.T, f func(name, text string)) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch rel := strings.TrimPrefix(name, "../"); {
		case d.IsDir() && (rel == ".git" || rel == "bin" || rel == "dist" || rel == ".cache"):
			return filepath.SkipDir
		case d.IsDir() || rel == "CHANGELOG.md" || !isText(d.Name()):
			return nil
		}
		seen++
		f(name, read(t, name))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 300 {
		t.Errorf("%d files are read: the test looks at the wrong place", seen)
	}
}

func isText(name string) bool {
	switch filepath.Ext(name) {
	case ".go", ".md", ".mod", ".sh", ".yaml", ".yml", ".txtar", ".sql", ".service", ".socket", "":
		return true
	}
	return false
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
