package cli

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// maxShort bounds the short help of a command, so that a list of commands fits a terminal.
const maxShort = 60

// eachCommand calls f for every command that this program defines.
func eachCommand(f func(*cobra.Command)) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		f(c)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(Root())
}

func TestShortHelpIsOneShortPhrase(t *testing.T) {
	eachCommand(func(c *cobra.Command) {
		first, _ := utf8.DecodeRuneInString(c.Short)
		switch {
		case c.Short == "":
			t.Errorf("%s has no short help", c.CommandPath())
		case utf8.RuneCountInString(c.Short) > maxShort && c.HasParent():
			t.Errorf("%s: %q has %d characters; at most %d are allowed", c.CommandPath(), c.Short, utf8.RuneCountInString(c.Short), maxShort)
		case !unicode.IsUpper(first):
			t.Errorf("%s: %q does not start with a capital", c.CommandPath(), c.Short)
		case strings.HasSuffix(c.Short, "."):
			t.Errorf("%s: %q ends with a full stop", c.CommandPath(), c.Short)
		}
	})
}

// TestFlagHelpIsOnePhrase: cobra puts the default after the text, so that a full stop would
// be in the middle.
func TestFlagHelpIsOnePhrase(t *testing.T) {
	eachCommand(func(c *cobra.Command) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" || strings.HasSuffix(f.Usage, ".") {
				t.Errorf("%s --%s: %q", c.CommandPath(), f.Name, f.Usage)
			}
		})
	})
}
