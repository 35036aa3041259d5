package cmdutil

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"cortex/cmd/units"
	"cortex/events"
)

// AnyNumber is the maximum of [Args] for commands that take any number of arguments.
const AnyNumber = -1

// Args returns a check that the number of arguments is at least least and at most most. Its
// error is ErrUsage, and its hint shows the usage of the command.
func Args(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		n := len(args)
		if n >= least && (most == AnyNumber || n <= most) {
			return nil
		}
		if cmd.HasSubCommands() && most == 0 {
			return unknownSubcommand(cmd, args[0])
		}
		return &events.Error{
			Op: "cli", Kind: events.ErrUsage, Subject: strings.TrimPrefix(cmd.CommandPath(), "cortex "), Err: errors.New(wrongNumber(least, most, n)),
			Hint: "usage: " + strings.TrimSuffix(cmd.UseLine(), " [flags]"),
		}
	}
}

// wrongNumber describes a wrong number of arguments.
func wrongNumber(least, most, n int) string {
	switch {
	case n < least && n == 0:
		return "an argument is missing"
	case n < least:
		return fmt.Sprintf("%s given, at least %d are needed", units.Count(n, "argument"), least)
	case most == 0:
		return "it takes no arguments"
	}
	return fmt.Sprintf("%s given, at most %d can be given", units.Count(n, "argument"), most)
}

// unknownSubcommand returns the error for a subcommand that does not exist.
func unknownSubcommand(cmd *cobra.Command, name string) error {
	hint := "see '" + cmd.CommandPath() + " --help'"
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		hint = "did you mean " + cmd.CommandPath() + " " + strings.Join(near, " or ") + "?"
	}
	return &events.Error{Op: "cli", Kind: events.ErrUsage, Subject: fmt.Sprintf("%q", name), Err: errors.New("unknown command of " + cmd.CommandPath()), Hint: hint}
}
