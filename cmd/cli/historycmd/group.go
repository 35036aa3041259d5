// Package historycmd TODO
package historycmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands is the context with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewHistory makes the command.
func NewHistory(c *cmdutil.Context) *cobra.Command { return newHistory(&commands{c}) }

// NewShow makes the command.
func NewShow(c *cmdutil.Context) *cobra.Command { return newShow(&commands{c}) }

// NewPackages makes the command.
func NewPackages(c *cmdutil.Context) *cobra.Command { return newPackages(&commands{c}) }

// NewFile makes the command.
func NewFile(c *cmdutil.Context) *cobra.Command { return newFile(&commands{c}) }

// NewWhy makes the command.
func NewWhy(c *cmdutil.Context) *cobra.Command { return newWhy(&commands{c}) }
