// Package transactcmd holds the commands that change packages: install and the other
// verbs, apply, undo, redo, rollback and attach.
package transactcmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/events"
)

// commands is the context, with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewInstall returns install or plan.
func NewInstall(c *cmdutil.Context, name, short string) *cobra.Command {
	return newInstall(&commands{c}, name, short)
}

// NewVerb returns the command of a verb that takes package names.
func NewVerb(c *cmdutil.Context, verb events.Verb, use, short string, args cobra.PositionalArgs) *cobra.Command {
	return newVerb(&commands{c}, verb, use, short, args)
}

// NewApply returns 'cortex apply'.
func NewApply(c *cmdutil.Context) *cobra.Command { return newApply(&commands{c}) }

// NewUndo returns 'cortex undo'.
func NewUndo(c *cmdutil.Context) *cobra.Command { return newUndo(&commands{c}) }

// NewRedo returns 'cortex redo'.
func NewRedo(c *cmdutil.Context) *cobra.Command { return newRedo(&commands{c}) }

// NewRollback returns 'cortex rollback'.
func NewRollback(c *cmdutil.Context) *cobra.Command { return newRollback(&commands{c}) }

// NewAttach returns 'cortex attach'.
func NewAttach(c *cmdutil.Context) *cobra.Command { return newAttach(&commands{c}) }
