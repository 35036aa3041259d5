package daemon

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"cortex/cmd/api"
	"cortex/cmd/readmodels"
	"cortex/projections"
	"cortex/projections/history"
)

// Status implements [api.Daemon].
func (srv *server) Status(ctx context.Context) (api.DaemonStatus, error) {
	h := srv.broker.Health(ctx)
	s := api.DaemonStatus{
		StateDir: srv.settings.StateDir, Head: h.Head.Position, LogBytes: h.Facts.Bytes + h.Requests.Bytes,
		FreeBytes: uint64(max(0, h.FreeDisk)), Writable: h.Writable, TransactionRunning: srv.executor.Running(),
		NATSServers: srv.settings.NATS.URL, NATSListen: srv.broker.ListenAddr(),
	}
	if h.Problem != nil {
		s.Problem = h.Problem.Error()
	}
	for _, p := range srv.projector.Status(ctx) {
		v := api.ProjectionStatus{Name: p.Name, Position: p.Position, Lag: p.Lag}
		if p.Err != nil {
			v.Problem = p.Err.Error()
		}
		s.Projections = append(s.Projections, v)
	}
	letters, err := srv.deadLetters(ctx)
	for _, p := range letters {
		s.DeadLetters = append(s.DeadLetters, api.DeadLetterStatus{ID: p.ID, Handler: p.Handler, EventKind: p.Kind, Failure: p.Failure})
	}
	return s, err
}

func (srv *server) deadLetters(ctx context.Context) (list []history.HandlerDeadLetter, err error) {
	err = srv.queryModel(ctx, history.Name, func(db *sql.DB) error {
		list, err = history.NewReader(db).HandlerDeadLetters(ctx)
		return err
	})
	return list, err
}

// Replay implements [api.Daemon].
func (srv *server) Replay(ctx context.Context, name string, verify bool) ([]api.ReplayResult, error) {
	var chosen []*projections.ReadModel
	for _, m := range srv.readModels {
		if name == "" || m.Name() == name {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		_, err := readmodels.ByName(name)
		return nil, err
	}
	if verify {
		return srv.verify(ctx, chosen)
	}
	return srv.rebuild(ctx, chosen)
}

func (srv *server) verify(ctx context.Context, models []*projections.ReadModel) (done []api.ReplayResult, err error) {
	for _, m := range models {
		start := time.Now()
		d, err := m.VerifyAgainst(ctx, srv.broker.Log())
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

// rebuild rebuilds the models in one pass over the log. Each result has the duration of the
// whole pass.
func (srv *server) rebuild(ctx context.Context, models []*projections.ReadModel) (done []api.ReplayResult, err error) {
	start := time.Now()
	if err := projections.RebuildAll(ctx, srv.broker.Log(), models...); err != nil {
		return nil, err
	}
	took := time.Since(start).Milliseconds()
	for _, m := range models {
		if err := srv.projector.Resume(m.Name()); err != nil { // it may have stopped at a problem that the rebuild fixed
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
