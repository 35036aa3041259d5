// Package hardwarecmd holds 'cortex hardware': facts about this machine, recorded
// snapshots, and recommended packages.
package hardwarecmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands is the context, with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewHardware returns 'cortex hardware'.
func NewHardware(c *cmdutil.Context) *cobra.Command { return newHardware(&commands{c}) }
