// Package askcmd holds the commands around words: ask, suggest and explain, the search
// index ('cortex catalog'), and what is remembered about the user ('cortex memory').
package askcmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands is the context, with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewAsk returns 'cortex ask'.
func NewAsk(c *cmdutil.Context) *cobra.Command { return newAsk(&commands{c}) }

// NewSuggest returns 'cortex suggest'.
func NewSuggest(c *cmdutil.Context) *cobra.Command { return newSuggest(&commands{c}) }

// NewExplain returns 'cortex explain'.
func NewExplain(c *cmdutil.Context) *cobra.Command { return newExplain(&commands{c}) }

// NewCatalog returns 'cortex catalog'.
func NewCatalog(c *cmdutil.Context) *cobra.Command { return newCatalog(&commands{c}) }

// NewMemory returns 'cortex memory'.
func NewMemory(c *cmdutil.Context) *cobra.Command { return newMemory(&commands{c}) }
