// Package shellcmd holds 'cortex shell': completion and a key binding for bash, zsh and
// fish.
package shellcmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands is the context, with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewShell returns 'cortex shell'.
func NewShell(c *cmdutil.Context) *cobra.Command { return newShell(&commands{c}) }
