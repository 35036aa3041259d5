// Package llmcmd TODO
package llmcmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands is the context with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewLLM makes the command.
func NewLLM(c *cmdutil.Context) *cobra.Command { return newLLM(&commands{c}) }

// NewCache makes the command.
func NewCache(c *cmdutil.Context) *cobra.Command { return newCache(&commands{c}) }

// NewKVCache makes the command.
func NewKVCache(c *cmdutil.Context) *cobra.Command { return newKVCache(&commands{c}) }
