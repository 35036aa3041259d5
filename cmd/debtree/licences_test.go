package main

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryLinkedModuleHasItsNotice builds both programs and compares the modules that
// the linker recorded in them with the sections of the notices.
func TestEveryLinkedModuleHasItsNotice(t *testing.T) {
	if testing.Short() {
		t.Skip("links both programs")
	}
	text, err := notices()
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for i, section := range strings.Split(string(text), "\n== ") {
		if name, body, _ := strings.Cut(section, "\n"); i > 0 {
			sections[name] = body
		}
	}
	linked := map[string]bool{}
	for _, tags := range builds {
		program := filepath.Join(t.TempDir(), "cortex")
		build := exec.Command("go", "build", "-tags", tags, "-o", program, "cortex/cmd/cortex")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build with tags %q: %v\n%s", tags, err, out)
		}
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		linked["go "+info.GoVersion] = true
		for _, m := range info.Deps {
			linked[m.Path+" "+m.Version] = true
		}
	}
	for name := range linked {
		if len(sections[name]) < 200 { // the shortest licence in use is longer
			t.Errorf("%s is linked, and the notices have no text for it", name)
		}
	}
	for name := range sections {
		if !linked[name] {
			t.Errorf("the notices name %s, which is not linked", name)
		}
	}
}

// TestLicencesBesideCopiedCode holds that a licence in a directory of the module, above a
// linked package, is part of the notices.
func TestLicencesBesideCopiedCode(t *testing.T) {
	root := t.TempDir()
	for name, content := range map[string]string{
		"LICENSE": "of the module", "copied/LICENSE.txt": "of copied code", "copied/inner/x.go": "", "other/LICENSE": "of code that is not linked", "copied/license.go": "no text",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dirs := licenceDirs(linkedModule{root: root, dirs: []string{filepath.Join(root, "copied", "inner")}})
	var found []string
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !e.IsDir() && isLicence(e.Name()) {
				found = append(found, filepath.Base(dir)+"/"+e.Name())
			}
		}
	}
	want := filepath.Base(root) + "/LICENSE copied/LICENSE.txt"
	if got := strings.Join(found, " "); got != want {
		t.Errorf("found %q, want %q", got, want)
	}
}
