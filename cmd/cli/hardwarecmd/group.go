// Package hardwarecmd TODO
package hardwarecmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands is the context with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewHardware makes the command.
func NewHardware(c *cmdutil.Context) *cobra.Command { return newHardware(&commands{c}) }
