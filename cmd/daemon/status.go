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
	var chosen []*projections.Model
	for _, m := range in.models {
		if name == "" || m.Name() == name {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		_, err := parts.Projection(name)
		return nil, err
	}
	if verify {
		return in.verify(ctx, chosen)
	}
	return in.rebuild(ctx, chosen)
}

func (in *inside) verify(ctx context.Context, models []*projections.Model) (done []door.Replayed, err error) {
	for _, m := range models {
		start := time.Now()
		d, err := m.VerifyAgainst(ctx, in.broker.Log())
		if err != nil {
			return done, err
		}
		r := door.Replayed{Projection: m.Name(), Verified: true, Events: int(d.Position)}
		if !d.Empty() {
			r.Differences = append(r.Differences, d.String())
			for _, t := range d.Tables {
				for _, e := range t.Examples {
					r.Differences = append(r.Differences, fmt.Sprintf("%s: %s", t.Table, e))
				}
			}
		}
		r.DurationMs = time.Since(start).Milliseconds()
		done = append(done, r)
	}
	return done, nil
}

// rebuild rebuilds all at once, so that each took as long as all.
func (in *inside) rebuild(ctx context.Context, models []*projections.Model) (done []door.Replayed, err error) {
	start := time.Now()
	if err := projections.RebuildAll(ctx, in.broker.Log(), models...); err != nil {
		return nil, err
	}
	took := time.Since(start).Milliseconds()
	for _, m := range models {
		if err := in.projector.Resume(m.Name()); err != nil { // it may have stopped at what is mended now
			return done, err
		}
		at, err := m.Checkpoint(ctx)
		if err != nil {
			return done, err
		}
		done = append(done, door.Replayed{Projection: m.Name(), Events: int(at.Position), DurationMs: took})
	}
	return done, nil
}
