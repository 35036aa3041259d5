package faults_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// 'make crash' runs every test that docs/faults.md names. All of them must exist.
func TestFaultsTableNamesExistingTests(t *testing.T) {
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, "docs", "faults.md"))
	check(t, err)
	exist := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	check(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(b, -1) {
			exist[string(m[1])] = true
		}
		return err
	}))
	names := regexp.MustCompile(`Test[A-Za-z0-9]+`).FindAllString(string(page), -1)
	if len(names) < 40 {
		t.Errorf("docs/faults.md names only %d tests", len(names))
	}
	for _, name := range names {
		if !exist[name] {
			t.Errorf("docs/faults.md names %s, which does not exist", name)
		}
	}
}
