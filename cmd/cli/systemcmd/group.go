// Package systemcmd holds the commands that operate cortex itself: status, daemon, replay,
// doctor, hooks, notify, logs and version, and the hidden commands that apt, dpkg and
// systemd call.
package systemcmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

// commands is the context, with this group's commands as methods.
type commands struct{ *cmdutil.Context }

// NewStatus returns 'cortex status'.
func NewStatus(c *cmdutil.Context) *cobra.Command { return newStatus(&commands{c}) }

// NewDaemon returns 'cortex daemon'.
func NewDaemon(c *cmdutil.Context) *cobra.Command { return newDaemon(&commands{c}) }

// NewReplay returns 'cortex replay'.
func NewReplay(c *cmdutil.Context) *cobra.Command { return newReplay(&commands{c}) }

// NewDoctor returns 'cortex doctor'.
func NewDoctor(c *cmdutil.Context) *cobra.Command { return newDoctor(&commands{c}) }

// NewHooks returns 'cortex hooks'.
func NewHooks(c *cmdutil.Context) *cobra.Command { return newHooks(&commands{c}) }

// NewNotify returns 'cortex notify'.
func NewNotify(c *cmdutil.Context) *cobra.Command { return newNotify(&commands{c}) }

// NewLogs returns 'cortex logs'.
func NewLogs(c *cmdutil.Context) *cobra.Command { return newLogs(&commands{c}) }

// NewVersion returns 'cortex version'.
func NewVersion(c *cmdutil.Context) *cobra.Command { return newVersion(&commands{c}) }

// NewHook returns the hidden 'cortex hook', which apt and dpkg call.
func NewHook(c *cmdutil.Context) *cobra.Command { return newHook(&commands{c}) }

// NewWorker returns the hidden 'cortex worker', which systemd starts.
func NewWorker(c *cmdutil.Context) *cobra.Command { return newWorker(&commands{c}) }
