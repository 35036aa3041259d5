package daemon

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"cortex/cmd/door"
	"cortex/cmd/parts"
	"cortex/projections"
	"cortex/projections/history"
)

// Status implements [door.Backend].
func (in *inside) Status(ctx context.Context) (door.Status, error) {
	h := in.broker.Health(ctx)
	s := door.Status{
		State: in.settings.State, Head: h.Head.Position, LogBytes: h.Facts.Bytes + h.Requests.Bytes,
		FreeBytes: uint64(max(0, h.FreeDisk)), Writable: h.Writable, Running: in.executor.Running(),
		Servers: in.settings.NATS.URL, Listening: in.broker.Listening(),
	}
	if h.Problem != nil {
		s.Problem = h.Problem.Error()
	}
	for _, p := range in.projector.Status(ctx) {
		v := door.Projection{Name: p.Name, Position: p.Position, Lag: p.Lag}
		if p.Err != nil {
			v.Problem = p.Err.Error()
		}
		s.Projections = append(s.Projections, v)
	}
	parked, err := in.parked(ctx)
	for _, p := range parked {
		s.Parked = append(s.Parked, door.ParkedEvent{ID: p.ID, Handler: p.Handler, Of: p.Kind, Failure: p.Failure})
	}
	return s, err
}

func (in *inside) parked(ctx context.Context) (list []history.Parked, err error) {
	for _, m := range in.models {
		if m.Name() != history.Name {
			continue
		}
		err = m.Read(ctx, func(db *sql.DB) error {
			list, err = history.NewReader(db).Parked(ctx)
			return err
		})
	}
	return list, err
}

// Replay implements [door.Backend].
func (in *inside) Replay(ctx context.Context, name string, verify bool) ([]door.Replayed, error) {
	var done []door.Replayed
	for _, m := range in.models {
		if name != "" && m.Name() != name {
			continue
		}
		r, err := in.replay(ctx, m, verify)
		if err != nil {
			return done, err
		}
		done = append(done, r)
	}
	if len(done) == 0 {
		_, err := parts.Projection(name)
		return nil, err
	}
	return done, nil
}

func (in *inside) replay(ctx context.Context, m *projections.Model, verify bool) (door.Replayed, error) {
	start := time.Now()
	r := door.Replayed{Projection: m.Name(), Verified: verify}
	if verify {
		d, err := m.VerifyAgainst(ctx, in.broker.Log())
		if err != nil {
			return r, err
		}
		r.Events = int(d.Position)
		if !d.Empty() {
			r.Differences = append(r.Differences, d.String())
			for _, t := range d.Tables {
				for _, e := range t.Examples {
					r.Differences = append(r.Differences, fmt.Sprintf("%s: %s", t.Table, e))
				}
			}
		}
	} else {
		if err := m.Rebuild(ctx, in.broker.Log()); err != nil {
			return r, err
		}
		if err := in.projector.Resume(m.Name()); err != nil { // it may have stopped at what is mended now
			return r, err
		}
		at, err := m.Checkpoint(ctx)
		if err != nil {
			return r, err
		}
		r.Events = int(at.Position)
	}
	r.DurationMs = time.Since(start).Milliseconds()
	return r, nil
}
