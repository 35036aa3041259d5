package shellcmd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/iostreams"
	"cortex/cmd/shellrc"

	"github.com/spf13/cobra"
)

func TestInitScriptIsValidSyntax(t *testing.T) {
	root := &cobra.Command{Use: "cortex"}
	root.AddCommand(NewShell(&cmdutil.Context{IO: &iostreams.IO{}, Service: &app.Service{}}))
	for _, shell := range shellrc.Shells {
		t.Run(shell, func(t *testing.T) {
			var script strings.Builder
			if err := writeInit(&script, root, shell, shellParts{missing: true}); err != nil {
				t.Fatal(err)
			}
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skipf("%s is not installed", shell)
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

func TestQuoteKeepsOneWord(t *testing.T) {
	for _, s := range []string{"a web server", "it's $HOME `id` \"x\" !x", "-n"} {
		out, err := exec.Command("/bin/sh", "-c", "printf %s "+quote(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("%q became %q, %v", s, out, err)
		}
	}
}
