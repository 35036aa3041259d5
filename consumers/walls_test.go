package consumers_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cortex/consumers"
)

// source is one Go file of the module that is not a test.
type source struct {
	folder  string // "consumers/planner"
	name    string
	imports []string
	file    *ast.File
	fset    *token.FileSet
}

// sources parses every file below some top-level folders. It reads the files itself:
// the go tool would be served from the test cache when another package changes.
func sources(t *testing.T, folders ...string) []source {
	t.Helper()
	var out []source
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join("..", folder), func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			s := source{folder: filepath.ToSlash(filepath.Dir(name))[len("../"):], name: name, fset: token.NewFileSet()}
			if s.file, err = parser.ParseFile(s.fset, name, nil, parser.SkipObjectResolution); err != nil {
				return err
			}
			for _, spec := range s.file.Imports {
				imported, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					return err
				}
				s.imports = append(s.imports, imported)
			}
			out = append(out, s)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// below reports whether a folder is one of the given ones. "a/..." means a and
// everything below it.
func below(folder string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if top, ok := strings.CutSuffix(p, "/..."); ok {
			return folder == top || strings.HasPrefix(folder, top+"/")
		}
		return folder == p
	})
}

// wall is a rule about imports between folders of this module.
type wall struct {
	from   []string // the folders that the rule is for
	except []string // the ones among them that it does not bind
	to     []string // what they may not import …
	but    []string // … except these
	reason string
}

var handlers = []string{"consumers/commands", "consumers/planner", "consumers/executor", "consumers/undo"}

var services = []string{"consumers/recovery", "consumers/external", "consumers/hwsnapshot", "consumers/retention", "consumers/treehead", "consumers/projector", "consumers/llm/ask"}

var libraries = []string{"consumers/recorder", "consumers/inventory", "consumers/policy/...", "consumers/llm", "consumers/llm/anthropic", "consumers/llm/openai", "consumers/llm/router", "consumers/llm/cachekey"}

var walls = []wall{
	{
		from: []string{"consumers/machine/..."}, to: []string{"consumers/..."}, but: []string{"consumers/machine/..."},
		reason: "what acts on the machine knows neither the log nor policy: a consumer decides, and records what happened",
	},
	{
		from: libraries, to: slices.Concat(handlers, services, []string{"consumers", "consumers/machine/..."}),
		reason: "a library can be read and tested without its callers, and has no effect on the machine",
	},
	{
		from: slices.Concat(handlers, services), to: []string{"consumers/machine/apt", "consumers/machine/limits"},
		reason: "a consumer declares the role that it needs; another package manager then needs no change in it",
	},
	{
		from: handlers, to: slices.Concat(handlers, services), but: []string{"consumers/undo"},
		reason: "one handler reacts to the facts of another and never calls it; undo also holds the pure functions that the planner plans an undo with",
	},
	{
		from: services, to: slices.Concat(handlers, services),
		reason: "the daemon wires services; an interface stands for what one needs of another",
	},
	{
		from: []string{"consumers"}, to: []string{"consumers/..."}, but: []string{"consumers/recorder"},
		reason: "the router delivers messages to functions and knows no consumer",
	},
	{
		from: []string{"consumers/...", "cmd/..."}, except: []string{"consumers/llm/modeltest", "consumers/machine/testbed", "consumers/machine/fakeapt", "consumers/recorder/recordertest"},
		to:     []string{"consumers/llm/modeltest", "consumers/machine/testbed", "consumers/machine/fakeapt", "consumers/recorder/recordertest"},
		reason: "test support is not part of the program",
	},
}

func TestWallsBetweenFolders(t *testing.T) {
	all := sources(t, "consumers", "cmd")
	for _, w := range walls {
		for _, p := range slices.Concat(w.from, w.except, w.to, w.but) {
			if !slices.ContainsFunc(all, func(s source) bool { return below(s.folder, []string{p}) }) {
				t.Errorf("the rule %q names %s, which is gone", w.reason, p)
			}
		}
		for _, s := range all {
			if !below(s.folder, w.from) || below(s.folder, w.except) {
				continue
			}
			for _, imported := range s.imports {
				folder, ours := strings.CutPrefix(imported, "cortex/")
				if ours && folder != s.folder && below(folder, w.to) && !below(folder, w.but) {
					t.Errorf("%s imports %s: %s", s.name, imported, w.reason)
				}
			}
		}
	}
}

// effects lists the packages through which a program can act on the machine, and
// the folders outside consumers/machine that may use them: with which functions,
// and why. No function listed means every one.
var effects = map[string]map[string]struct {
	functions []string
	reason    string
}{
	"os/exec":               {},
	"plugin":                {},
	"net":                   {},
	"golang.org/x/sys/unix": {},
	"syscall": {
		"consumers/policy/cel": {[]string{"Stat_t"}, "a rule file must belong to root"},
	},
	"os": {
		"consumers/external":   {[]string{"ReadFile", "ReadDir", "Remove", "Rename"}, "it empties the spool in the state directory"},
		"consumers/treehead":   {[]string{"ReadFile", "Stat", "MkdirAll", "OpenFile", "Open", "Rename", "File", "O_RDWR", "O_CREATE", "O_WRONLY", "O_TRUNC"}, "it keeps its key and the signed heads in the state directory"},
		"consumers/policy/cel": {[]string{"Open"}, "it reads the rule files and writes nothing"},
	},
	"net/http": {
		"consumers/llm/anthropic": {[]string{"Header"}, "it sets the headers of its protocol"},
		"consumers/llm/openai":    {[]string{"Header"}, "it sets the headers of its protocol"},
		"consumers/llm":           {nil, "it calls the providers of models that the owner configured"},
	},
}

func TestEffectsStayBelowMachine(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t, "consumers") {
		if below(s.folder, []string{"consumers/machine/...", "consumers/llm/modeltest"}) {
			continue
		}
		for _, imported := range s.imports {
			allowed, acts := effects[imported]
			if !acts {
				continue
			}
			rule, ok := allowed[s.folder]
			if !ok {
				t.Errorf("%s imports %s: only consumers/machine acts on the machine; declare a role and let the daemon pass it in", s.name, imported)
				continue
			}
			used[imported+" "+s.folder] = true
			for _, function := range selected(s.file, path.Base(imported)) {
				if rule.functions != nil && !slices.Contains(rule.functions, function) {
					t.Errorf("%s uses %s.%s: %s is allowed there because %s, with %v", s.name, imported, function, imported, rule.reason, rule.functions)
				}
			}
		}
	}
	for imported, allowed := range effects {
		for folder := range allowed {
			if !used[imported+" "+folder] {
				t.Errorf("%s does not import %s any more: remove the exception", folder, imported)
			}
		}
	}
}

// selected lists what a file uses of a package.
func selected(f *ast.File, pkg string) []string {
	var out []string
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == pkg {
				out = append(out, s.Sel.Name)
			}
		}
		return true
	})
	return out
}

// packageTools are the programs of apt, dpkg and debconf.
var packageTools = []string{
	"apt", "apt-get", "apt-mark", "apt-cache", "apt-config", "dpkg", "dpkg-query", "dpkg-deb", "dpkg-divert", "dpkg-statoverride",
	"dpkg-trigger", "update-alternatives", "debconf-set-selections", "debconf-communicate", "debconf-show",
}

// otherMeanings are the folders in which such a string is not a program to run.
var otherMeanings = map[string]string{
	"consumers/machine/apt": "the one place that runs them",
	"consumers/policy":      "names of packages that may not be removed",
	"producers/snippet":     "reads commands that people wrote for them",
	"events":                "a kind of error",
	"cmd/app":               "the name of a check of the doctor",
}

func TestOnlyMachineAptNamesPackageTools(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t, "consumers", "producers", "projections", "embedded", "events", "cmd") {
		if strings.HasSuffix(s.folder, "test") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			if text, _ := strconv.Unquote(lit.Value); !slices.Contains(packageTools, text) {
				return true
			}
			for pattern := range otherMeanings {
				if below(s.folder, []string{pattern}) {
					used[pattern] = true
					return true
				}
			}
			t.Errorf("%s: %s: only consumers/machine/apt runs apt and dpkg", s.fset.Position(lit.Pos()), lit.Value)
			return true
		})
	}
	for pattern, meaning := range otherMeanings {
		if !used[pattern] {
			t.Errorf("no file in %s names a tool any more (%s): remove the exception", pattern, meaning)
		}
	}
}

// TestFoldersAreWhatTheDocSays compares the list in the package comment with the
// folders, the table of subscriptions and the imports.
func TestFoldersAreWhatTheDocSays(t *testing.T) {
	all := sources(t, "consumers", "cmd")
	described := docFolders(t)
	for folder, text := range described {
		handlers := []string(nil)
		for _, s := range consumers.Subscriptions {
			if s.Folder == folder {
				handlers = append(handlers, s.Name)
			}
		}
		clause, library, _ := strings.Cut(text, "library of ")
		if consumer, ok := strings.CutPrefix(clause, "consumer: "); ok != (len(handlers) > 0) || ok && strings.TrimSuffix(consumer, "; ") != strings.Join(handlers, ", ") {
			t.Errorf("%s is %q, but the table subscribes %v", folder, text, handlers)
		}
		if strings.HasPrefix(clause, "service: ") && !imports(all, "cmd/...", "consumers/"+folder) {
			t.Errorf("%s is a service, but cmd does not import it", folder)
		}
		library, _, _ = strings.Cut(library, ":")
		library = strings.TrimSuffix(library, " and the services")
		for _, user := range strings.Split(library, ", ") {
			if user == "" {
				continue
			}
			if user != "cmd" {
				user = "consumers/" + user
			}
			if !imports(all, user+"/...", "consumers/"+folder) {
				t.Errorf("%s is a library of %s, which does not import it", folder, user)
			}
		}
	}
	for _, s := range all {
		if folder, ok := strings.CutPrefix(s.folder, "consumers/"); ok && described[folder] == "" {
			t.Errorf("doc.go does not say what %s is", folder)
		}
	}
}

func imports(all []source, from, to string) bool {
	return slices.ContainsFunc(all, func(s source) bool {
		return below(s.folder, []string{from}) && slices.Contains(s.imports, "cortex/"+to)
	})
}

// docFolders reads the list of folders in the package comment.
func docFolders(t *testing.T) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(f.Doc.Text()) {
		row, ok := strings.CutPrefix(line, "\t")
		folder, text, ok2 := strings.Cut(strings.TrimSpace(row), " ")
		if !ok || !ok2 {
			continue
		}
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			t.Errorf("doc.go describes %s, which is gone", folder)
		}
		out[folder] = strings.TrimSpace(text)
	}
	if len(out) == 0 {
		t.Fatal("doc.go has no list of folders")
	}
	return out
}
