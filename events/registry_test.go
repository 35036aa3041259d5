package events_test

import (
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
)

var writeDocs = flag.Bool("write-docs", false, "write the tables of kinds into docs/events.md")

// typeOf is the type that a line decodes into.
func typeOf(e events.KindEntry) reflect.Type {
	if e.Request != nil {
		return reflect.TypeOf(e.Request()).Elem()
	}
	return reflect.TypeOf(e.Fact()).Elem()
}

// TestRegistryHasEveryType: each type that is a fact or a request has a line. UnknownFact
// is the one fact without a kind of its own.
func TestRegistryHasEveryType(t *testing.T) {
	lines := map[string]bool{"UnknownFact": true}
	for _, e := range events.Registry() {
		if e.Upcast == nil {
			lines[typeOf(e).Name()] = true
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			m, ok := d.(*ast.FuncDecl)
			if !ok || m.Recv == nil || m.Name.Name != "fact" && m.Name.Name != "request" {
				continue
			}
			seen++
			typ, ok := m.Recv.List[0].Type.(*ast.StarExpr)
			if !ok {
				t.Fatalf("%s: the receiver of %s is not a pointer", name, m.Name.Name)
			}
			if typ := typ.X.(*ast.Ident).Name; !lines[typ] {
				t.Errorf("%s: %s has no line in the registry (events/registry.go)", name, typ)
			}
		}
	}
	if seen < len(lines) {
		t.Errorf("found %d types, the registry has %d", seen, len(lines))
	}
}

// TestRegistryNamesPackagesOfTheTree: the packages of a line exist, and each speaks of
// the line's type or kind.
func TestRegistryNamesPackagesOfTheTree(t *testing.T) {
	names := map[string]map[string]bool{}
	for _, e := range events.Registry() {
		if e.Upcast != nil {
			continue
		}
		typ := typeOf(e).Name()
		constant := kindConstants(t)[e.Kind]
		for _, dir := range slices.Concat(e.Appenders, e.Readers) {
			if names[dir] == nil {
				names[dir] = identifiers(t, dir)
			}
			if len(names[dir]) == 0 {
				t.Errorf("%s names the package %s, which does not exist", e.Kind, dir)
			} else if !names[dir][typ] && !names[dir][constant] {
				t.Errorf("%s names the package %s, which mentions neither %s nor %s", e.Kind, dir, typ, constant)
			}
		}
		if !slices.IsSorted(e.Readers) || !slices.IsSorted(e.Appenders) {
			t.Errorf("%s: the packages are not sorted", e.Kind)
		}
	}
}

// identifiers are the names that the Go files of a folder use, tests excluded.
func identifiers(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(dir), "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || dir == "events" && filepath.Base(name) == "registry.go" {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				out[id.Name] = true
			}
			return true
		})
	}
	return out
}

// kindConstants maps each kind to the name of its constant in kind.go.
func kindConstants(t *testing.T) map[events.Kind]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "kind.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[events.Kind]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		if lit, ok := v.Values[0].(*ast.BasicLit); ok {
			kind, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			out[events.Kind(kind)] = v.Names[0].Name
		}
		return true
	})
	return out
}

// TestDocumentHasTheRegistry: the tables of docs/events.md are those of the registry,
// with the comment of each type and its fields.
func TestDocumentHasTheRegistry(t *testing.T) {
	path := filepath.Join("..", "docs", "events.md")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for name, table := range map[string]string{"facts": factTable(t), "requests": requestTable(t)} {
		begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->\n"
		before, rest, ok := strings.Cut(text, begin)
		old, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no place for the table of %s", path, name)
		}
		if diff := cmp.Diff(table, old); diff != "" && !*writeDocs {
			t.Errorf("%s (-registry +document); run: go test ./events -run Document -write-docs\n%s", name, diff)
		}
		text = before + begin + table + end + after
	}
	if *writeDocs {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func factTable(t *testing.T) string {
	docs := comments(t)
	var rows []string
	for _, e := range events.Registry() {
		if e.Fact == nil {
			continue
		}
		typ := typeOf(e)
		rows = append(rows, row(string("`"+e.Kind+"`"), about(t, docs, typ), fields(t, typ), e.Noun, packages(e.Appenders), packages(e.Readers), string(e.Undo)))
	}
	slices.Sort(rows)
	return row("kind", "meaning", "fields", "subject", "appended by", "read by", "undo") + "|---|---|---|---|---|---|---|\n" + strings.Join(rows, "")
}

func requestTable(t *testing.T) string {
	docs := comments(t)
	var rows []string
	for _, e := range events.Registry() {
		if e.Request == nil {
			continue
		}
		rows = append(rows, row(string("`"+e.Kind+"`"), about(t, docs, typeOf(e)), packages(e.Appenders), packages(e.Readers)))
	}
	slices.Sort(rows)
	return row("kind", "meaning", "published by", "read by") + "|---|---|---|---|\n" + strings.Join(rows, "")
}

func row(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

// about is the comment of a type without its name.
func about(t *testing.T, docs map[string]string, typ reflect.Type) string {
	t.Helper()
	text, ok := strings.CutPrefix(docs[typ.Name()], typ.Name()+" ")
	if !ok {
		t.Errorf("%s has no comment that begins with its name", typ.Name())
	}
	return text
}

func packages(names []string) string {
	return "`" + strings.Join(names, "`, `") + "`"
}

// comments returns the comment of every type of the package, on one line.
func comments(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE || g.Doc == nil {
				continue
			}
			spec, ok := g.Specs[0].(*ast.TypeSpec)
			if ok {
				out[spec.Name.Name] = strings.NewReplacer("|", `\|`, "[", "", "]", "").Replace(strings.Join(strings.Fields(g.Doc.Text()), " "))
			}
		}
	}
	return out
}

// fields lists the names of a type's fields in JSON.
func fields(t *testing.T, typ reflect.Type) string {
	t.Helper()
	b, err := json.Marshal(full(typ).Interface())
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]json.RawMessage{}
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, "`"+k+"`")
	}
	return strings.Join(out, ", ")
}

// full returns a value whose fields are not empty, so that JSON leaves none of them out.
func full(typ reflect.Type) reflect.Value {
	v := reflect.New(typ).Elem()
	for i := range typ.NumField() {
		f := v.Field(i)
		if !f.CanSet() {
			continue
		}
		switch f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int, reflect.Int64:
			f.SetInt(1)
		case reflect.Uint, reflect.Uint64:
			f.SetUint(1)
		case reflect.Float64:
			f.SetFloat(1)
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		case reflect.Map:
			m := reflect.MakeMap(f.Type())
			m.SetMapIndex(reflect.Zero(f.Type().Key()), reflect.Zero(f.Type().Elem()))
			f.Set(m)
		case reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
		case reflect.Struct:
			if f.Type().PkgPath() != "time" {
				f.Set(full(f.Type()))
			}
		}
	}
	return v
}
