// Package askcmd TODO
package askcmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands is the context with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewAsk makes the command.
func NewAsk(c *cmdutil.Context) *cobra.Command { return newAsk(&commands{c}) }

// NewSuggest makes the command.
func NewSuggest(c *cmdutil.Context) *cobra.Command { return newSuggest(&commands{c}) }

// NewExplain makes the command.
func NewExplain(c *cmdutil.Context) *cobra.Command { return newExplain(&commands{c}) }

// NewCatalog makes the command.
func NewCatalog(c *cmdutil.Context) *cobra.Command { return newCatalog(&commands{c}) }

// NewMemory makes the command.
func NewMemory(c *cmdutil.Context) *cobra.Command { return newMemory(&commands{c}) }
