package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cortex/cmd/cli"
)

// TestCommandsHaveScriptExampleAndPage holds that a script runs each command, that its help
// has an example, and that the README or a page of docs names it.
func TestCommandsHaveScriptExampleAndPage(t *testing.T) {
	all := func(patterns ...string) string {
		var text strings.Builder
		for _, pattern := range patterns {
			files, err := filepath.Glob(pattern)
			if err != nil || len(files) == 0 {
				t.Fatalf("%s: no files, %v", pattern, err)
			}
			for _, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				text.Write(b)
			}
		}
		return text.String()
	}
	scripts := all("testdata/script/*.txtar", "*_bed_test.go", "package_bed_test.go")
	pages := all("../../docs/*.md", "../../README.md")
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if !c.Runnable() || c.Hidden || !c.HasParent() {
			return
		}
		words := strings.Fields(c.CommandPath())[1:]
		inScript := regexp.MustCompile(`cortex (--[a-z]+ )*` + strings.Join(words, " ") + `\b|"` + strings.Join(words, `", "`) + `"|"` + strings.Join(words, " ") + `\b`)
		if !inScript.MatchString(scripts) {
			t.Errorf("no script runs '%s'", c.CommandPath())
		}
		inPage := regexp.MustCompile("(?s)`(cortex )?" + strings.Join(words, " ") + `\b|cortex ` + strings.Join(words, " ") + `\b`)
		if !inPage.MatchString(pages) {
			t.Errorf("no page names '%s'", c.CommandPath())
		}
		flags := 0
		c.LocalNonPersistentFlags().VisitAll(func(*pflag.Flag) { flags++ })
		plain := flags == 0 && !strings.Contains(c.Use, " ")
		if !c.HasSubCommands() && !plain && !strings.Contains(c.Long+c.Example, "\n  cortex ") && !strings.HasPrefix(c.Example, "  cortex ") {
			t.Errorf("the help of '%s' has no example", c.CommandPath())
		}
	}
	walk(cli.Root())
}
