package app

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"cortex/cmd/client"
	"cortex/cmd/readmodels"
	"cortex/embedded/sqlite"
	"cortex/events"
	"cortex/projections"
)

// Instant is a place in history: a position or a time.
type Instant struct {
	Position events.Position // 0: the time counts
	Time     time.Time
}

// ParseInstant reads a position, or a time as [ParseTime] does.
func ParseInstant(s string) (Instant, error) {
	if n, err := strconv.ParseUint(s, 10, 63); err == nil && n > 0 {
		return Instant{Position: events.Position(n)}, nil
	}
	t, err := ParseTime(s)
	if err == nil && t.IsZero() {
		err = &events.Error{Op: "app.instant", Kind: events.ErrUsage, Subject: fmt.Sprintf("%q", s), Err: errors.New("is neither a position nor a time"), Hint: "positions are the numbers that 'cortex events list' shows"}
	}
	return Instant{Time: t}, err
}

// Includes reports whether a record is not later.
func (i Instant) Includes(r events.Record) bool {
	if i.Position > 0 {
		return r.Position <= i.Position
	}
	return !r.Time.After(i.Time)
}

// pastLog is the log as it was at an instant: everything before the first fact that
// is later. It is read through the daemon and cannot be written.
type pastLog struct {
	client *client.Client
	host   events.HostID
	until  Instant
}

var _ events.Log = pastLog{}

// Host implements [events.Log].
func (p pastLog) Host() events.HostID { return p.host }

// Append implements [events.Log]: it refuses.
func (p pastLog) Append(context.Context, events.Event, events.Expect) (events.Record, error) {
	return events.Record{}, &events.Error{Op: "app.past", Kind: events.ErrInternal, Err: errors.New("the past cannot be changed")}
}

// Read implements [events.Log].
func (p pastLog) Read(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		for r, err := range Facts(ctx, p.client, client.StreamOptions{After: q.After}) {
			if err == nil && !p.until.Includes(r) {
				return
			}
			if (err != nil || q.Match(r)) && !yield(r, err) {
				return
			}
		}
	}
}

// Follow implements [events.Log]: nothing comes to what is past.
func (p pastLog) Follow(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return p.Read(ctx, q)
}

// Last implements [events.Log].
func (p pastLog) Last(ctx context.Context, filter string) (last events.Record, ok bool, err error) {
	for r, err := range p.Read(ctx, events.Query{Filters: []string{filter}}) {
		if err != nil {
			return last, ok, err
		}
		last, ok = r, true
	}
	return last, ok, nil
}

// Head implements [events.Log].
func (p pastLog) Head(ctx context.Context) (events.Link, error) {
	r, _, err := p.Last(ctx, ">")
	return r.Link(), err
}

// ReadModelAt answers from a read model as it is, or as it was at an instant that was
// typed.
func (s *Service) ReadModelAt(ctx context.Context, at, name string, ask func(*sql.DB) error) error {
	if at == "" {
		return s.ReadModel(ctx, name, ask)
	}
	i, err := ParseInstant(at)
	if err != nil {
		return err
	}
	return s.ReadModelPast(ctx, i, name, ask)
}

// ReadModelPast answers from a read model as it was at an instant.
func (s *Service) ReadModelPast(ctx context.Context, until Instant, name string, ask func(*sql.DB) error) error {
	return s.BuildPast(ctx, until, name, func(m *projections.ReadModel) error { return m.Read(ctx, ask) })
}

// BuildPast builds a read model as it was at an instant, in a directory that is
// gone afterwards.
func (s *Service) BuildPast(ctx context.Context, until Instant, name string, use func(*projections.ReadModel) error) (err error) {
	p, err := readmodels.ByName(name)
	if err != nil {
		return err
	}
	if !s.HasLog() {
		return s.NoHistory()
	}
	c, ping, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "cortex-past-")
	if err != nil {
		return &events.Error{Op: "app.past", Kind: events.ErrUnavailable, Subject: os.TempDir(), Err: err}
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	open := func(ctx context.Context, path string) (projections.Store, error) {
		return sqlite.Open(ctx, sqlite.Config{Path: path, PoolSize: 1})
	}
	m, err := projections.New(p, open, projections.Config{Dir: dir, Now: time.Now, OnDeadLetter: func(d projections.DeadLetter) { s.Note(d.String()) }})
	if err != nil {
		return err
	}
	if err := m.Open(ctx, pastLog{client: c, host: ping.Host, until: until}); err != nil {
		return err
	}
	return errors.Join(use(m), m.Close())
}

// ReplayInto writes a read model as it was at an instant into a new file. It returns the
// last event that the file covers.
func (s *Service) ReplayInto(ctx context.Context, name string, until Instant, file string) (at events.Link, err error) {
	err = s.BuildPast(ctx, until, name, func(m *projections.ReadModel) error {
		if at, err = m.Checkpoint(ctx); err != nil {
			return err
		}
		path, err := filepath.EvalSymlinks(m.Path())
		if err == nil {
			err = m.Close() // folds the write-ahead log into the file
		}
		if err != nil {
			return err
		}
		from, err := os.Open(path)
		if err != nil {
			return err
		}
		defer from.Close()
		return WriteNewFile(file, func(w io.Writer) error {
			_, err := io.Copy(w, from)
			return err
		})
	})
	return at, err
}
