// Package cmdutil holds what the command groups share: the context of a command, checks of
// arguments, and completion.
//
// A group lives in a package of its own beside this one. It translates flags into calls of
// package app and results into output; it holds no use case.
package cmdutil

import (
	"bufio"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cortex/cmd/app"
	"cortex/cmd/cli/iostreams"
	"cortex/consumers/llm"
	"cortex/events"
)

// Context holds the streams of a command and the use cases.
type Context struct {
	*iostreams.IO
	*app.Service
}

// WithoutSettings is the PersistentPreRunE of commands that work without settings, or in
// spite of invalid ones.
func WithoutSettings(*cobra.Command, []string) error { return nil }

// UsageError wraps an error about the arguments of cmd as ErrUsage.
func UsageError(cmd *cobra.Command, err error) error {
	return &events.Error{Op: "cli", Kind: events.ErrUsage, Err: err, Hint: "see '" + cmd.CommandPath() + " --help'"}
}

// WriteOutput lets write fill a new file, or standard output if name is empty.
func (c *Context) WriteOutput(name string, write func(io.Writer) error) error {
	if name != "" {
		return app.WriteNewFile(name, write)
	}
	w := bufio.NewWriter(c.Stdout)
	if err := write(w); err != nil {
		return err
	}
	return w.Flush()
}

// ModelFlags registers the flags of commands that may ask a model.
func ModelFlags(f *pflag.FlagSet, o *app.ModelOptions) {
	f.BoolVar(&o.Offline, "offline", false, "ask no model; send nothing to another machine")
	f.StringVar(&o.Provider, "provider", "", "ask only this model provider, and fail if it does not answer")
	f.BoolVar(&o.ShowPrompt, "show-prompt", false, "show the exact prompt for a model, and stop")
}

// ShowPrompt prints everything that would be sent to a model.
func (c *Context) ShowPrompt(r llm.CompletionRequest) {
	if c.JSON {
		c.PrintLine("prompt", "prompt", map[string]any{"system": r.System, "prompt": r.Prompt, "schema": r.Schema})
		return
	}
	fmt.Fprintf(c.Stdout, "%s\n\n%s\n", r.System, r.Prompt)
	if r.Schema != nil {
		fmt.Fprintf(c.Stdout, "\n%s\n", r.Schema)
	}
}

// WithSettings is the PersistentPreRunE of a command that needs settings although its
// parent does not.
func (c *Context) WithSettings(*cobra.Command, []string) error { return c.LoadSettings() }
