package auditcmd

import (
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/auditsink"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/client"
	"cortex/events"
)

// syslogSocket is where the machine's syslog listens.
const syslogSocket = "/dev/log"

func newAuditFollow(a *commands) *cobra.Command {
	var to, position string
	var once bool
	cmd := &cobra.Command{
		Use: "follow --to FILE|syslog", Short: "Copy every fact into a file or to syslog, as it is recorded", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `Copy every fact, from the first on, into a file as CloudEvents, one JSON object a
line, or to syslog (facility authpriv) in a short form without data. It goes on over
restarts of the daemon and of itself: a file gets every fact once, also after kill -9
and after it was rotated away. Syslog confirms nothing; there, one message can come
twice after a kill, and its position tells. Ctrl-C ends it.

The position is kept in FILE.position, and for syslog in the audit directory.

  cortex audit follow --to /var/log/cortex-audit.jsonl
  cortex audit follow --to syslog`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.auditFollow(cmd.Context(), to, position, once) },
	}
	f := cmd.Flags()
	f.StringVar(&to, "to", "", "a file, or syslog")
	f.StringVar(&position, "position", "", "with syslog: the file that keeps the position")
	f.BoolVar(&once, "once", false, "end when everything that is on record was copied")
	return cmd
}

func (a *commands) auditFollow(ctx context.Context, to, position string, once bool) error {
	if to == "" || position != "" && to != "syslog" {
		return &events.Error{Op: "cli.audit", Kind: events.ErrUsage, Subject: "--to", Err: errors.New("say where to"), Hint: "--to FILE, or --to syslog; --position goes with syslog"}
	}
	if !a.HasLog() && once {
		return a.NoHistory()
	}
	c, _, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	sink, err := a.openSink(to, position)
	if err != nil {
		return err
	}
	before := sink.Checkpoint().Position
	source := func(ctx context.Context, after events.Position) iter.Seq2[events.Record, error] {
		return app.Facts(ctx, c, client.StreamOptions{After: after, Follow: !once})
	}
	err = auditsink.Run(ctx, source, sink)
	if ctx.Err() == nil || errors.Is(err, events.ErrCorrupt) {
		a.Infof("%d facts copied, up to event %d", sink.Checkpoint().Position-before, sink.Checkpoint().Position)
	} else {
		err = nil // Ctrl-C is how it ends
	}
	return errors.Join(err, sink.Close())
}

// openSink opens what facts are copied into.
func (a *commands) openSink(to, position string) (auditsink.Sink, error) {
	if to != "syslog" {
		return auditsink.OpenFileSink(to)
	}
	if position == "" {
		if err := os.MkdirAll(a.Settings.AuditDir(), 0o755); err != nil {
			return nil, &events.Error{Op: "cli.audit", Kind: events.ErrUnavailable, Subject: a.Settings.AuditDir(), Err: err, Hint: "run it as root, or name a file with --position"}
		}
		position = filepath.Join(a.Settings.AuditDir(), "syslog.position")
	}
	return auditsink.OpenSyslogSink(syslogSocket, position)
}
