// Package cli is the command line: it makes the command tree from the groups, runs one
// command, and turns its error into an exit code.
//
// Each group of commands has a package of its own (transactcmd, historycmd, …); all of
// them share cmdutil and iostreams. The use cases are in package app.
package cli

import (
	"context"
	"errors"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/iostreams"
	"cortex/events"
)

// Main runs one command and returns its exit code.
func Main(ctx context.Context, streams *iostreams.IO, service *app.Service) int {
	c := &cmdutil.Context{IO: streams, Service: service}
	c.Build = Build()
	c.Note = func(message string) { c.Infof("%s", message) }
	root := newRoot(c)
	root.SetArgs(c.Args)
	root.SetIn(c.Stdin)
	root.SetOut(c.Stdout)
	root.SetErr(c.Stderr)
	err := root.ExecuteContext(ctx)
	err = errors.Join(err, c.Close())
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = &events.Error{Op: "cli", Kind: events.ErrInterrupted, Err: errors.New("interrupted")}
	}
	return c.PrintError(err)
}
