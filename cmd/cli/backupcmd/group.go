// Package backupcmd TODO
package backupcmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands is the context with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewBackup makes the command.
func NewBackup(c *cmdutil.Context) *cobra.Command { return newBackup(&commands{c}) }

// NewStore makes the command.
func NewStore(c *cmdutil.Context) *cobra.Command { return newStore(&commands{c}) }
