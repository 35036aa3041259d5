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
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
)

var writeCatalogue = flag.Bool("write-catalogue", false, "write the table of facts into docs/events.md")

// The table stands between these lines.
const catalogueBegin, catalogueEnd = "<!-- facts -->\n", "<!-- end of facts -->\n"

// TestTheCatalogueIsTrue: docs/events.md tells of every kind of fact what its type's
// comment says, and the fields that it has.
func TestTheCatalogueIsTrue(t *testing.T) {
	docs := comments(t)
	var rows []string
	seen := map[events.Kind]bool{}
	for _, f := range sampleFacts() {
		name := reflect.TypeOf(f).Elem().Name()
		kind := string(f.Kind())
		if name == "Requested" {
			kind = "VERB.requested.v1"
		}
		if seen[events.Kind(kind)] {
			continue
		}
		seen[events.Kind(kind)] = true
		about := strings.TrimPrefix(docs[name], name+" ")
		if about == "" {
			t.Errorf("%s has no comment", name)
		}
		rows = append(rows, "| `"+kind+"` | "+about+" | "+fields(t, reflect.TypeOf(f).Elem())+" |\n")
	}
	for _, k := range events.FactKinds() {
		if verb, ok := strings.CutSuffix(string(k), ".requested.v1"); ok && slices.Contains(events.Verbs, events.Verb(verb)) {
			k = "VERB.requested.v1"
		}
		if !seen[k] {
			t.Errorf("%s has no sample", k)
		}
	}
	slices.Sort(rows)
	table := "| kind | what it says | fields |\n|---|---|---|\n" + strings.Join(rows, "")
	path := filepath.Join("..", "docs", "events.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), catalogueBegin)
	old, after, ok2 := strings.Cut(rest, catalogueEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", path)
	}
	if *writeCatalogue {
		if err := os.WriteFile(path, []byte(before+catalogueBegin+table+catalogueEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(table, old); diff != "" {
		t.Errorf("run: go test ./events -run Catalogue -write-catalogue\n%s", diff)
	}
}

// comments gives the comment of every type of the package, on one line.
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

// full makes a value whose fields are not empty, so that none is left out as JSON.
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
