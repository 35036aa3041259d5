package auditcmd

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/units"
	"cortex/events"
)

func newAuditFollow(a *commands) *cobra.Command {
	var o app.FollowOptions
	cmd := &cobra.Command{
		Use: "follow --to FILE|syslog", Short: "Copy every event to a file or to syslog", Args: cmdutil.Args(0, 0),
		Long: `Copy every event, from the first, to a file or to syslog, and continue with new events until
Ctrl-C. A file receives CloudEvents, one JSON object per line. Syslog (facility authpriv)
receives a short form without data.

The copy continues after a restart of the daemon or of this command. A file contains every
event exactly once, even after kill -9 or log rotation. Syslog does not confirm messages:
after a kill, one message can occur twice, with the same position.

The position is stored in FILE.position, and for syslog in the audit directory.`,
		Example: "  cortex audit follow --to /var/log/cortex-audit.jsonl\n  cortex audit follow --to syslog",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.follow(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.To, "to", "", "copy to this file, or to syslog (required)")
	f.StringVar(&o.Position, "position", "", "with syslog: store the position in this file")
	f.BoolVar(&o.Once, "once", false, "exit when all recorded events are copied")
	return cmd
}

func (a *commands) follow(ctx context.Context, o app.FollowOptions) error {
	switch {
	case o.To == "":
		return &events.Error{Op: "cli", Kind: events.ErrUsage, Subject: "--to", Err: errors.New("the target is missing"), Hint: "pass --to FILE or --to syslog"}
	case o.Position != "" && o.To != "syslog":
		return &events.Error{Op: "cli", Kind: events.ErrUsage, Subject: "--position", Err: errors.New("it is allowed only with --to syslog"), Hint: "the position of a file is stored in FILE.position"}
	}
	out, err := a.FollowAudit(ctx, o)
	if out.Last > 0 && !out.Interrupted {
		a.Infof("%s copied, up to event %d", units.Count(int(out.Copied), "event"), out.Last)
	}
	return err
}
