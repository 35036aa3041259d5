package daemon

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"cortex/cmd/api"
	"cortex/cmd/parts"
	"cortex/projections"
	"cortex/projections/history"
)

// Status implements [api.Daemon].
func (in *server) Status(ctx context.Context) (api.DaemonStatus, error) {
	h := in.broker.Health(ctx)
	s := api.DaemonStatus{
		StateDir: in.settings.StateDir, Head: h.Head.Position, LogBytes: h.Facts.Bytes + h.Requests.Bytes,
		FreeBytes: uint64(max(0, h.FreeDisk)), Writable: h.Writable, TransactionRunning: in.executor.Running(),
		NATSServers: in.settings.NATS.URL, NATSListen: in.broker.ListenAddr(),
	}
	if h.Problem != nil {
		s.Problem = h.Problem.Error()
	}
	for _, p := range in.projector.Status(ctx) {
		v := api.ProjectionStatus{Name: p.Name, Position: p.Position, Lag: p.Lag}
		if p.Err != nil {
			v.Problem = p.Err.Error()
		}
		s.Projections = append(s.Projections, v)
	}
	parked, err := in.deadLetters(ctx)
	for _, p := range parked {
		s.DeadLetters = append(s.DeadLetters, api.DeadLetterStatus{ID: p.ID, Handler: p.Handler, EventKind: p.Kind, Failure: p.Failure})
	}
	return s, err
}

func (in *server) deadLetters(ctx context.Context) (list []history.HandlerDeadLetter, err error) {
	for _, m := range in.readModels {
		if m.Name() != history.Name {
			continue
		}
		err = m.Read(ctx, func(db *sql.DB) error {
			list, err = history.NewReader(db).HandlerDeadLetters(ctx)
			return err
		})
	}
	return list, err
}

// Replay implements [api.Daemon].
func (in *server) Replay(ctx context.Context, name string, verify bool) ([]api.ReplayResult, error) {
	var chosen []*projections.ReadModel
	for _, m := range in.readModels {
		if name == "" || m.Name() == name {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		_, err := parts.ProjectionByName(name)
		return nil, err
	}
	if verify {
		return in.verify(ctx, chosen)
	}
	return in.rebuild(ctx, chosen)
}

func (in *server) verify(ctx context.Context, models []*projections.ReadModel) (done []api.ReplayResult, err error) {
	for _, m := range models {
		start := time.Now()
		d, err := m.VerifyAgainst(ctx, in.broker.Log())
		if err != nil {
			return done, err
		}
		r := api.ReplayResult{Projection: m.Name(), Verified: true, Events: int(d.Position)}
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
func (in *server) rebuild(ctx context.Context, models []*projections.ReadModel) (done []api.ReplayResult, err error) {
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
		done = append(done, api.ReplayResult{Projection: m.Name(), Events: int(at.Position), DurationMs: took})
	}
	return done, nil
}
