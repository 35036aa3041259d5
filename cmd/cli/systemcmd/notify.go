package systemcmd

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/client"
	"cortex/cmd/output"
	"cortex/events"
)

func newNotify(a *commands) *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use: "notify", Short: "Show on your desktop how transactions end", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `Show on your desktop how transactions end, for as long as this runs: it follows the
events as you, and calls notify-send. It is not for root, who has no desktop; start it
with your session.

  cortex notify &`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.notify(cmd.Context(), once) },
	}
	cmd.Flags().BoolVar(&once, "once", false, "leave after the first one")
	return cmd
}

func (a *commands) notify(ctx context.Context, once bool) error {
	if a.UID == 0 {
		return &events.Error{Op: "cli.notify", Kind: events.ErrUsage, Err: errors.New("root has no desktop"), Hint: "run it as the user who has"}
	}
	program, err := exec.LookPath("notify-send")
	if err != nil {
		return &events.Error{Op: "cli.notify", Kind: events.ErrNotFound, Subject: "notify-send", Err: errors.New("the program is not installed"), Hint: "sudo cortex install libnotify-bin"}
	}
	c, _, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	for l, err := range c.Events(ctx, client.StreamOptions{After: s.Head, Kind: "transaction.*", Follow: true}) {
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if l.Event == nil {
			continue
		}
		switch l.Event.Kind {
		case events.KindSucceeded, events.KindFailed, events.KindInterrupted, events.KindDenied:
		default:
			continue
		}
		t, err := whole(ctx, c, l.Event.Transaction)
		if err != nil {
			return err
		}
		title, text := notice(t)
		if out, err := exec.CommandContext(ctx, program, "--app-name=Cortex", "--", title, text).CombinedOutput(); err != nil {
			a.Infof("notify-send: %v: %s", err, events.SanitizeLine(string(out), 200))
		}
		if once {
			return nil
		}
	}
	return nil
}

// whole gives a transaction as the log has it.
func whole(ctx context.Context, c *client.Client, id events.TransactionID) (*events.Transaction, error) {
	t := &events.Transaction{}
	for l, err := range c.Events(ctx, client.StreamOptions{Transaction: id}) {
		if err != nil {
			return nil, err
		}
		if l.Event == nil || l.Event.Kind == events.KindDeadLettered {
			continue
		}
		if err := t.Apply(*l.Event); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// notice is how a transaction ended, in a title and a line.
func notice(t *events.Transaction) (title, text string) {
	var names []string
	for _, c := range t.Plan.Changes {
		names = append(names, string(c.Name))
	}
	what := strings.Join(names[:min(3, len(names))], ", ")
	if more := len(names) - 3; more > 0 {
		what += fmt.Sprintf(" and %d more", more)
	}
	title = fmt.Sprintf("%s %s: %s", t.Intent.Verb, what, t.State)
	text = fmt.Sprintf("transaction %d, %s", t.Number, output.Count(len(t.Changes), "package")+" changed")
	if t.Failure != nil {
		text = fmt.Sprintf("transaction %d: %s", t.Number, events.SanitizeLine(t.Failure.Message, 200))
	}
	return title, text
}
