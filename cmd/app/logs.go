package app

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"cortex/cmd/logs"
	"cortex/events"
	"cortex/projections/history"
)

// unit is the daemon's systemd unit.
const unit = "cortexd.service"

// LogFilter selects records of the daemon's log.
type LogFilter struct {
	Since    string // a time as ParseTime reads it
	Level    string // debug, info, warn or error
	OpPrefix string // the start of the operation's name
}

// DaemonLog returns the daemon's log records from its file and from the journal, oldest
// first.
func (s *Service) DaemonLog(ctx context.Context, filter LogFilter) ([]logs.Entry, error) {
	f := logs.Filter{OpPrefix: filter.OpPrefix}
	var err error
	if f.Since, err = ParseTime(filter.Since); err != nil {
		return nil, err
	}
	if err := f.MinLevel.UnmarshalText([]byte(filter.Level)); err != nil {
		return nil, &events.Error{
			Op: "app.DaemonLog", Kind: events.ErrUsage, Subject: "--level", Err: errors.New("invalid level \"" + filter.Level + "\""),
			Hint: "levels are debug, info, warn and error",
		}
	}
	var list []logs.Entry
	for _, source := range []iter.Seq2[logs.Entry, error]{logs.ReadFiles(s.Settings.LogFile(), f), s.journal(ctx, f)} {
		for e, err := range source {
			if errors.Is(err, fs.ErrPermission) {
				return nil, &events.Error{Op: "app.DaemonLog", Kind: events.ErrConfirmation, Subject: s.Settings.LogFile(), Err: fs.ErrPermission, Hint: s.sudoHint()}
			}
			if err != nil {
				return nil, &events.Error{Op: "app.DaemonLog", Kind: events.ErrUnavailable, Subject: s.Settings.LogFile(), Err: err}
			}
			list = append(list, e)
		}
	}
	slices.SortStableFunc(list, func(x, y logs.Entry) int { return x.Time.Compare(y.Time) })
	return list, nil
}

// journal reads the daemon's records from systemd's journal, nothing where there is none.
func (s *Service) journal(ctx context.Context, f logs.Filter) iter.Seq2[logs.Entry, error] {
	return func(yield func(logs.Entry, error) bool) {
		if !PathExists(filepath.Join(s.Settings.Root, "run/systemd/system")) || !s.Settings.IsSystem() {
			return
		}
		args := []string{"--unit", unit, "--output", "cat", "--no-pager", "--quiet"}
		if !f.Since.IsZero() {
			args = append(args, "--since", f.Since.Local().Format(time.DateTime))
		}
		cmd := exec.CommandContext(ctx, "/usr/bin/journalctl", args...)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			return // there is no journal
		}
		defer func() { _ = cmd.Wait() }()
		defer out.Close()
		for e, err := range logs.Read(out, f) {
			if !yield(e, err) {
				return
			}
		}
	}
}

// Timings returns how long transactions took, by verb.
func (s *Service) Timings(ctx context.Context) (list []history.Timing, err error) {
	err = s.ReadHistory(ctx, func(r *history.Reader) (err error) {
		list, err = r.Timings(ctx)
		return err
	})
	return list, err
}
