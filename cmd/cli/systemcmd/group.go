// Package systemcmd TODO
package systemcmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands is the context with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewStatus makes the command.
func NewStatus(c *cmdutil.Context) *cobra.Command { return newStatus(&commands{c}) }

// NewDaemon makes the command.
func NewDaemon(c *cmdutil.Context) *cobra.Command { return newDaemon(&commands{c}) }

// NewReplay makes the command.
func NewReplay(c *cmdutil.Context) *cobra.Command { return newReplay(&commands{c}) }

// NewDoctor makes the command.
func NewDoctor(c *cmdutil.Context) *cobra.Command { return newDoctor(&commands{c}) }

// NewHooks makes the command.
func NewHooks(c *cmdutil.Context) *cobra.Command { return newHooks(&commands{c}) }

// NewNotify makes the command.
func NewNotify(c *cmdutil.Context) *cobra.Command { return newNotify(&commands{c}) }

// NewLogs makes the command.
func NewLogs(c *cmdutil.Context) *cobra.Command { return newLogs(&commands{c}) }

// NewVersion makes the command.
func NewVersion(c *cmdutil.Context) *cobra.Command { return newVersion(&commands{c}) }

// NewHook makes the command.
func NewHook(c *cmdutil.Context) *cobra.Command { return newHook(&commands{c}) }

// NewWorker makes the command.
func NewWorker(c *cmdutil.Context) *cobra.Command { return newWorker(&commands{c}) }
