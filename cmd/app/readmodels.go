package app

import (
	"context"
	"database/sql"
	"path/filepath"

	"cortex/embedded/sqlite"
	"cortex/events"
	"cortex/projections"
	"cortex/projections/history"
)

// ReadHistory queries the history as [Service.ReadModel] does.
func (s *Service) ReadHistory(ctx context.Context, ask func(*history.Reader) error) error {
	return s.ReadModel(ctx, history.Name, func(db *sql.DB) error { return ask(history.NewReader(db)) })
}

// ReadModel queries a read model's file without a daemon. If the file cannot be used, it
// starts a daemon, which rebuilds the read model, and asks again.
func (s *Service) ReadModel(ctx context.Context, name string, ask func(*sql.DB) error) error {
	err := s.QueryModel(ctx, name, ask)
	if err == nil || !projections.NeedsRebuild(err) {
		return err
	}
	if !s.HasLog() {
		return s.NoHistory()
	}
	if s.UID != 0 && s.Settings.IsSystem() {
		return &events.Error{Op: "app.ReadModel", Kind: events.ErrConfirmation, Subject: "read model " + name, Err: err, Hint: "run: sudo cortex replay " + name}
	}
	if _, _, err := s.Connect(ctx); err != nil {
		return err
	}
	return s.QueryModel(ctx, name, ask)
}

// QueryHistory asks the read model of transactions as it is. It starts no daemon.
func (s *Service) QueryHistory(ctx context.Context, ask func(*history.Reader) error) error {
	return s.QueryModel(ctx, history.Name, func(db *sql.DB) error { return ask(history.NewReader(db)) })
}

// QueryModel queries a read model as it is. It starts no daemon.
func (s *Service) QueryModel(ctx context.Context, name string, ask func(*sql.DB) error) error {
	db, err := sqlite.OpenReader(ctx, filepath.Join(s.Settings.ReadModelsDir(), name+".db"), 1)
	if err != nil {
		return projections.WrapError(name, err)
	}
	defer db.Close()
	return projections.WrapError(name, ask(db))
}
