// Package auditcmd TODO
package auditcmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands is the context with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewAudit makes the command.
func NewAudit(c *cmdutil.Context) *cobra.Command { return newAudit(&commands{c}) }
