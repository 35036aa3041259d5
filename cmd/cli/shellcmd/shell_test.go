package shellcmd

import (
	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/iostreams"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// rc runs 'cortex shell ARGS' for somebody whose shell is bash, with this content in
// .bashrc, and gives what is in it afterwards.
func rc(t *testing.T, home string, args ...string) (content string, code int) {
	t.Helper()
	env := map[string]string{"HOME": home, "SHELL": "/bin/bash", "CORTEX_STATE_DIR": t.TempDir()}
	var out, errs strings.Builder
	c := &cmdutil.Context{
		IO:      &iostreams.IO{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs},
		Service: &app.Service{Env: func(n string) string { return env[n] }, UID: 1000},
	}
	cmd := NewShell(c)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	code = c.PrintError(cmd.ExecuteContext(t.Context()))
	b, _ := os.ReadFile(filepath.Join(home, ".bashrc"))
	return string(b), code
}

func TestInstallAndUninstallLeaveSomebodysFileAsItWas(t *testing.T) {
	for name, before := range map[string]string{
		"a usual file":          "alias l=ls\n",
		"no end of the line":    "alias l=ls",
		"an empty file":         "",
		"something after it":    "alias l=ls\n" + rcBegin + "\nold\n" + rcEnd + "\nalias m=more\n",
		"a file with other CRs": "a\r\nb\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			path := filepath.Join(home, ".bashrc")
			if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
				t.Fatal(err)
			}
			got, code := rc(t, home, "install")
			if code != 0 || strings.Count(got, rcBegin) != 1 || !strings.Contains(got, "cortex shell init bash") {
				t.Fatalf("exit %d:\n%s", code, got)
			}
			if again, _ := rc(t, home, "install"); again != got {
				t.Errorf("a second time makes something else of it:\n%s", again)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("its rights are now %v, %v", info.Mode(), err)
			}
			want := before
			if strings.Contains(before, rcBegin) {
				want = "alias l=ls\nalias m=more\n"
			}
			if got, code := rc(t, home, "uninstall"); code != 0 || got != want {
				t.Errorf("exit %d, left %q, want %q", code, got, want)
			}
			if left, _ := filepath.Glob(filepath.Join(home, ".bashrc?*")); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

func TestAFileWithBrokenMarksIsNotTouched(t *testing.T) {
	home := t.TempDir()
	before := "a\n" + rcBegin + "\nb\n"
	if err := os.WriteFile(filepath.Join(home, ".bashrc"), []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, code := rc(t, home, "uninstall"); code == 0 || got != before {
		t.Errorf("exit %d, %q", code, got)
	}
}

func TestADryRunWritesNothing(t *testing.T) {
	home := t.TempDir()
	if got, code := rc(t, home, "install", "--dry-run"); code != 0 || got != "" {
		t.Errorf("exit %d, %q", code, got)
	}
}

func TestWhatShellsEvaluateIsTheirLanguage(t *testing.T) {
	root := &cobra.Command{Use: "cortex"}
	root.AddCommand(NewShell(&cmdutil.Context{IO: &iostreams.IO{}, Service: &app.Service{}}))
	for _, shell := range shells {
		t.Run(shell, func(t *testing.T) {
			var script strings.Builder
			if err := writeInit(&script, root, shell, shellParts{missing: true}); err != nil {
				t.Fatal(err)
			}
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Logf("%s is not here to read it", shell)
				return
			}
			file := filepath.Join(t.TempDir(), "init")
			if err := os.WriteFile(file, []byte(script.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(path, "-n", file).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

func TestAWordStaysOneWord(t *testing.T) {
	for _, s := range []string{"a web server", "it's $HOME `id` \"x\" !x", "-n"} {
		out, err := exec.Command("/bin/sh", "-c", "printf %s "+quote(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("%q became %q, %v", s, out, err)
		}
	}
}
