package docs_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documents returns the documents whose statements are tested, and the Makefile. The
// table of retired names in CHANGELOG.md is not one of them.
func documents(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"../*.md", "*.md", "../Makefile"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, f := range files {
			if filepath.Base(f) != "CHANGELOG.md" {
				out[f] = read(t, f)
			}
		}
	}
	return out
}

// planned are folders that docs/architecture.md names for changes to come.
var planned = []string{"cmd/web", "cmd/fleet", "cmd/mcp", "consumers/machine/dnf"}

// TestPathsInDocumentsExist holds that each path of the repository in a document exists,
// and that planned folders do not exist yet.
func TestPathsInDocumentsExist(t *testing.T) {
	path := regexp.MustCompile("(?:[`( ]|\\./)((?:events|producers|consumers|projections|embedded|internal|cmd|packaging|docs)/[\\w./*{},-]*\\w)")
	checkMentions(t, path, 60, func(name string) bool {
		if strings.Contains(name, "{") {
			return true // several paths in one
		}
		found, err := filepath.Glob(filepath.Join("..", name))
		return err == nil && (len(found) > 0) != slices.Contains(planned, name)
	})
}

// TestLinksInDocumentsResolve holds that the target of each relative link exists.
func TestLinksInDocumentsResolve(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^):#]+)(?:#[\w-]+)?\)`)
	for name, text := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if found, err := filepath.Glob(filepath.Join(filepath.Dir(name), m[1])); err != nil || len(found) == 0 {
				t.Errorf("%s links to %s, which does not exist", name, m[1])
			}
		}
	}
}

// TestTargetsInDocumentsExist holds that each make target in a document exists.
func TestTargetsInDocumentsExist(t *testing.T) {
	makefile := read(t, "../Makefile")
	target := regexp.MustCompile("`(?:[A-Z]+=\\S+ )*make ([a-z-]+)")
	checkMentions(t, target, 15, func(name string) bool {
		return regexp.MustCompile(`(?m)^` + name + `:`).MatchString(makefile)
	})
}

// TestTestsInDocumentsExist holds that each test that a document names exists.
func TestTestsInDocumentsExist(t *testing.T) {
	declared := map[string]bool{}
	for _, name := range testFunctions(t) {
		declared[name] = true
	}
	whole := regexp.MustCompile(`\b(Test[A-Z]\w+)(?:[^\w(|$']|$)`) // not a pattern in a recipe
	checkMentions(t, whole, 60, func(name string) bool { return declared[name] })
}

// TestPatternsInDocumentsMatch holds that each alternative of a -run or -bench pattern
// in a document matches a function: a pattern that matches nothing passes silently.
func TestPatternsInDocumentsMatch(t *testing.T) {
	functions := testFunctions(t)
	pattern := regexp.MustCompile(" -(?:run|bench) '?([^' \n`]+)")
	checkMentions(t, pattern, 20, func(text string) bool {
		text = strings.ReplaceAll(text, "$$", "$")
		if text == "^$" || text == "clean" || strings.Contains(text, "names") { // nothing, or a list that a recipe makes
			return true
		}
		for _, alternative := range alternatives(text) {
			re, err := regexp.Compile(alternative)
			if err != nil || !slices.ContainsFunc(functions, re.MatchString) {
				t.Logf("no function matches %s", alternative)
				return false
			}
		}
		return true
	})
}

// alternatives splits a pattern at its bars, or at the bars of its one group.
func alternatives(pattern string) (out []string) {
	before, rest, grouped := strings.Cut(pattern, "(")
	group, after, _ := strings.Cut(rest, ")")
	if !grouped {
		return strings.Split(pattern, "|")
	}
	for choice := range strings.SplitSeq(group, "|") {
		out = append(out, before+choice+after)
	}
	return out
}

// testFunctions returns the names of all tests and benchmarks.
func testFunctions(t *testing.T) (names []string) {
	t.Helper()
	function := regexp.MustCompile(`(?m)^func ((?:Test|Benchmark)\w+)\(`)
	forEachText(t, func(name, text string) {
		if strings.HasSuffix(name, "_test.go") {
			for _, m := range function.FindAllStringSubmatch(text, -1) {
				names = append(names, m[1])
			}
		}
	})
	return names
}

// checkMentions reports each first submatch in a document for which exists is false.
func checkMentions(t *testing.T, pattern *regexp.Regexp, atLeast int, exists func(string) bool) {
	t.Helper()
	seen := 0
	for name, text := range documents(t) {
		for _, m := range pattern.FindAllStringSubmatch(text, -1) {
			seen++
			if !exists(m[1]) {
				t.Errorf("%s names %s, which does not exist", name, m[1])
			}
		}
	}
	if seen < atLeast {
		t.Errorf("the documents have %d matches of %s, not %d or more: the pattern is wrong", seen, pattern, atLeast)
	}
}
