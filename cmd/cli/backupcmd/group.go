// Package backupcmd holds 'cortex backup', which copies and restores the history, and
// 'cortex store', which manages the saved package files and configuration.
package backupcmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands is the context, with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewBackup returns 'cortex backup'.
func NewBackup(c *cmdutil.Context) *cobra.Command { return newBackup(&commands{c}) }

// NewStore returns 'cortex store'.
func NewStore(c *cmdutil.Context) *cobra.Command { return newStore(&commands{c}) }
