// Package limitscmd holds the commands that run programs under resource limits. The use
// cases are those of package app; here are flags and text.
package limitscmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands is the context with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewLimits makes the command.
func NewLimits(c *cmdutil.Context) *cobra.Command { return newLimits(&commands{c}) }
