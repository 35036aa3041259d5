// Package historycmd holds the commands that show what happened to packages and files:
// history, show, packages, file and why. They read read models and change nothing.
package historycmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands is the context, with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewHistory returns 'cortex history'.
func NewHistory(c *cmdutil.Context) *cobra.Command { return newHistory(&commands{c}) }

// NewShow returns 'cortex show'.
func NewShow(c *cmdutil.Context) *cobra.Command { return newShow(&commands{c}) }

// NewPackages returns 'cortex packages'.
func NewPackages(c *cmdutil.Context) *cobra.Command { return newPackages(&commands{c}) }

// NewFile returns 'cortex file'.
func NewFile(c *cmdutil.Context) *cobra.Command { return newFile(&commands{c}) }

// NewWhy returns 'cortex why'.
func NewWhy(c *cmdutil.Context) *cobra.Command { return newWhy(&commands{c}) }
