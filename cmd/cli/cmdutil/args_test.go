package cmdutil_test

import (
	"testing"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/events"
)

func TestArgsNamesTheUsage(t *testing.T) {
	for name, tc := range map[string]struct {
		least, most int
		args        []string
		message     string // "": accepted
		hint        string
	}{
		"none":      {1, 1, nil, "store pin: an argument is missing", "usage: store pin NAME"},
		"too many":  {0, 1, []string{"a", "b"}, "store pin: 2 arguments given, at most 1 can be given", "usage: store pin NAME"},
		"too few":   {2, cmdutil.AnyNumber, []string{"a"}, "store pin: 1 argument given, at least 2 are needed", "usage: store pin NAME"},
		"not any":   {0, 0, []string{"a"}, "store pin: it takes no arguments", "usage: store pin NAME"},
		"right":     {1, 2, []string{"a", "b"}, "", ""},
		"unlimited": {1, cmdutil.AnyNumber, []string{"a", "b", "c"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			group := &cobra.Command{Use: "store"}
			cmd := &cobra.Command{Use: "pin NAME", Run: func(*cobra.Command, []string) {}}
			group.AddCommand(cmd)
			err := cmdutil.Args(tc.least, tc.most)(cmd, tc.args)
			if tc.message == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || err.Error() != tc.message || events.HintOf(err) != tc.hint || events.KindOf(err) != events.ErrUsage {
				t.Errorf("%v (hint %q)", err, events.HintOf(err))
			}
		})
	}
}

func TestArgsOfGroupSuggestsSubcommand(t *testing.T) {
	group := &cobra.Command{Use: "store"}
	group.AddCommand(&cobra.Command{Use: "verify", Run: func(*cobra.Command, []string) {}})
	err := cmdutil.Args(0, 0)(group, []string{"verfy"})
	if err == nil || err.Error() != `"verfy": unknown command of store` || events.HintOf(err) != "did you mean store verify?" {
		t.Errorf("%v (hint %q)", err, events.HintOf(err))
	}
}
