// Package llmcmd holds the commands about AI models: 'cortex llm' configures providers,
// 'cortex cache' manages cached answers, and 'cortex kvcache' saves the prompt caches of a
// llama-server.
package llmcmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands is the context, with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewLLM returns 'cortex llm'.
func NewLLM(c *cmdutil.Context) *cobra.Command { return newLLM(&commands{c}) }

// NewCache returns 'cortex cache'.
func NewCache(c *cmdutil.Context) *cobra.Command { return newCache(&commands{c}) }

// NewKVCache returns 'cortex kvcache'.
func NewKVCache(c *cmdutil.Context) *cobra.Command { return newKVCache(&commands{c}) }
