// Package auditcmd holds 'cortex audit': verify the log, prove events, export attempts, and
// copy events to a file or syslog.
package auditcmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands is the context, with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewAudit returns 'cortex audit'.
func NewAudit(c *cmdutil.Context) *cobra.Command { return newAudit(&commands{c}) }
