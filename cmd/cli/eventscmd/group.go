// Package eventscmd holds 'cortex events': list, follow and export the events of the log,
// and retry failed ones.
package eventscmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands is the context, with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewEvents returns 'cortex events'.
func NewEvents(c *cmdutil.Context) *cobra.Command { return newEvents(&commands{c}) }
