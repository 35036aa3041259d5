package main_test

import (
	"strings"
	"testing"
)

// TestCommandWithoutEngineUsesCortexd installs cortex like the Debian package: a
// command without an engine, and the program cortexd with one.
func TestCommandWithoutEngineUsesCortexd(t *testing.T) {
	m := setup(t)
	light, err := build("-tags", "noengine")
	if err != nil {
		t.Fatal(err)
	}
	m.sh("mkdir -p /usr/libexec/cortex && mv /usr/bin/cortex /usr/libexec/cortex/cortexd")
	m.Copy(t, light, "/usr/bin/cortex")
	before := m.PackageStates(t)
	m.must(0, "install", "cowsay", "--yes")
	m.must(0, "audit", "verify")
	m.must(0, "undo", "--yes")
	m.expectPackages(before)
	m.must(0, "daemon", "stop")
	m.must(0, "install", "cowsay", "--yes", "--embedded")
	m.must(0, "undo", "--yes", "--embedded")
	m.expectPackages(before)
	if out := m.must(0, "history").out; strings.Count(out, "succeeded") != 4 || strings.Count(out, "undone") != 2 {
		t.Errorf("the history is:\n%s", out)
	}
	m.sh("rm /usr/libexec/cortex/cortexd")
	if r := m.must(1, "install", "cowsay", "--yes"); !strings.Contains(r.err, "cortexd") || !strings.Contains(r.err, "hint: ") {
		t.Errorf("without an engine the error is:\n%s", r.err)
	}
	m.must(0, "history")
}
