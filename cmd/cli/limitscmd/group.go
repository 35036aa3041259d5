// Package limitscmd has the command group "limits", which runs programs under resource limits.
//
// It promises to contain only flags and text: package app has the use cases, and the daemon
// applies the limits.
package limitscmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands has the commands of this group as methods.
type commands struct{ *cmdutil.Context }

// NewLimits returns the command.
func NewLimits(c *cmdutil.Context) *cobra.Command { return newLimits(&commands{c}) }
