// Package eventscmd TODO
package eventscmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands is the context with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewEvents makes the command.
func NewEvents(c *cmdutil.Context) *cobra.Command { return newEvents(&commands{c}) }
