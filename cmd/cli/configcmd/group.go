// Package configcmd TODO
package configcmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands is the context with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewConfig makes the command.
func NewConfig(c *cmdutil.Context) *cobra.Command { return newConfig(&commands{c}) }

// NewPolicy makes the command.
func NewPolicy(c *cmdutil.Context) *cobra.Command { return newPolicy(&commands{c}) }
