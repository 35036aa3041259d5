package shellrc

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cortex/events"
)

// edit changes the block in the .bashrc of a home directory and returns the new content.
func edit(t *testing.T, home, block string) (string, error) {
	t.Helper()
	env := map[string]string{"HOME": home}
	e, err := Plan(func(n string) string { return env[n] }, "bash", block)
	if err == nil {
		err = e.Apply()
	}
	b, _ := os.ReadFile(filepath.Join(home, ".bashrc"))
	return string(b), err
}

func TestInstallAndUninstallRestoreTheFile(t *testing.T) {
	for name, before := range map[string]string{
		"a usual file":          "alias l=ls\n",
		"no end of the line":    "alias l=ls",
		"an empty file":         "",
		"something after it":    "alias l=ls\n" + begin + "\nold\n" + end + "\nalias m=more\n",
		"a file with other CRs": "a\r\nb\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			path := filepath.Join(home, ".bashrc")
			if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
				t.Fatal(err)
			}
			block := Block("bash", "cortex shell init bash")
			got, err := edit(t, home, block)
			if err != nil || strings.Count(got, begin) != 1 || !strings.Contains(got, "cortex shell init bash") {
				t.Fatalf("%v:\n%s", err, got)
			}
			if again, err := edit(t, home, block); err != nil || again != got {
				t.Errorf("a second time: %v:\n%s", err, again)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the mode is %v, %v", info.Mode(), err)
			}
			want := before
			if strings.Contains(before, begin) {
				want = "alias l=ls\nalias m=more\n"
			}
			if got, err := edit(t, home, ""); err != nil || got != want {
				t.Errorf("%v, left %q, want %q", err, got, want)
			}
			if left, _ := filepath.Glob(filepath.Join(home, ".bashrc?*")); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

func TestFileWithBrokenMarkersIsNotChanged(t *testing.T) {
	home := t.TempDir()
	before := "a\n" + begin + "\nb\n"
	if err := os.WriteFile(filepath.Join(home, ".bashrc"), []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := edit(t, home, ""); !errors.Is(err, events.ErrConflict) || got != before {
		t.Errorf("%v, %q", err, got)
	}
}

func TestPlanWritesNothing(t *testing.T) {
	home := t.TempDir()
	e, err := Plan(func(string) string { return home }, "bash", Block("bash", "x"))
	if err != nil || !e.Changed {
		t.Errorf("%+v, %v", e, err)
	}
	if list, err := os.ReadDir(home); err != nil || len(list) > 0 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestUnsupportedShellIsUsage(t *testing.T) {
	if err := CheckShell("tcsh"); !errors.Is(err, events.ErrUsage) || events.HintOf(err) != "name one of bash, zsh, fish" {
		t.Errorf("%v, %q", err, events.HintOf(err))
	}
}
