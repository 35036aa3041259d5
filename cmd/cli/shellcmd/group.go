// Package shellcmd TODO
package shellcmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands is the context with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewShell makes the command.
func NewShell(c *cmdutil.Context) *cobra.Command { return newShell(&commands{c}) }
