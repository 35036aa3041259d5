// Package configcmd holds 'cortex config', which changes settings and exports and imports
// the machine as a manifest, and 'cortex policy', which checks the rules for plans.
package configcmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands is the context, with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewConfig returns 'cortex config'.
func NewConfig(c *cmdutil.Context) *cobra.Command { return newConfig(&commands{c}) }

// NewPolicy returns 'cortex policy'.
func NewPolicy(c *cmdutil.Context) *cobra.Command { return newPolicy(&commands{c}) }
