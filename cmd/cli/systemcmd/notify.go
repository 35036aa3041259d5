package systemcmd

import (
	"context"
	"errors"
	"os/exec"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/events"
)

func newNotify(a *commands) *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use: "notify", Short: "Show a desktop notification when a transaction ends", Args: cmdutil.Args(0, 0),
		Long: `Show a desktop notification whenever a transaction ends, until you stop the command. It calls
notify-send. Run it as your own user, not root; start it with your desktop session.`,
		Example: "  cortex notify &",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.notify(cmd.Context(), once) },
	}
	cmd.Flags().BoolVar(&once, "once", false, "exit after the first notification")
	return cmd
}

func (a *commands) notify(ctx context.Context, once bool) error {
	if a.UID == 0 {
		return &events.Error{Op: "cli", Kind: events.ErrUsage, Err: errors.New("root has no desktop session"), Hint: "run it as your own user, without sudo"}
	}
	program, err := exec.LookPath("notify-send")
	if err != nil {
		return &events.Error{
			Op: "cli", Kind: events.ErrNotFound, Subject: "notify-send", Err: errors.New("the program is not installed"),
			Hint: "run: sudo cortex install libnotify-bin",
		}
	}
	return a.EachEnding(ctx, func(t *events.Transaction) bool {
		title, text := output.Notification(t)
		if out, err := exec.CommandContext(ctx, program, "--app-name=Cortex", "--", title, text).CombinedOutput(); err != nil {
			a.Infof("note: notify-send: %v: %s", err, events.SanitizeLine(string(out), 200))
		}
		return !once
	})
}
