package app

import (
	"context"
	"database/sql"
	"path/filepath"

	"cortex/embedded/cryptoshred"
	"cortex/embedded/sqlite"
	"cortex/events"
	"cortex/projections"
	"cortex/projections/history"
	"cortex/projections/memory"
)

// ReadHistory asks the read model of transactions.
func (s *Service) ReadHistory(ctx context.Context, ask func(*history.Reader) error) error {
	return s.ReadModel(ctx, history.Name, func(db *sql.DB) error { return ask(history.NewReader(db)) })
}

// ReadModel answers from a read model's file, without a daemon. When the file
// cannot be used it lets a daemon rebuild it and asks again.
func (s *Service) ReadModel(ctx context.Context, name string, ask func(*sql.DB) error) error {
	err := s.QueryModel(ctx, name, ask)
	if err == nil || !projections.NeedsRebuild(err) {
		return err
	}
	if !s.HasLog() {
		return s.NoHistory()
	}
	if s.UID != 0 && s.Settings.IsSystem() {
		return &events.Error{Op: "app.readModel", Kind: events.ErrConfirmation, Subject: "read model " + name, Err: err, Hint: "run: sudo cortex replay " + name}
	}
	if _, _, err := s.Connect(ctx); err != nil {
		return err
	}
	return s.QueryModel(ctx, name, ask)
}

func (s *Service) QueryHistory(ctx context.Context, ask func(*history.Reader) error) error {
	return s.QueryModel(ctx, history.Name, func(db *sql.DB) error { return ask(history.NewReader(db)) })
}

func (s *Service) QueryModel(ctx context.Context, name string, ask func(*sql.DB) error) error {
	db, err := sqlite.OpenReader(ctx, filepath.Join(s.Settings.ReadModelsDir(), name+".db"), 1)
	if err != nil {
		return projections.WrapError(name, err)
	}
	defer db.Close()
	return projections.WrapError(name, ask(db))
}

// ResolveTransaction finds the transaction that a person means.
func (s *Service) ResolveTransaction(ctx context.Context, ref string) (t history.TransactionDetail, err error) {
	err = s.ReadHistory(ctx, func(r *history.Reader) error {
		t, err = r.Show(ctx, ref)
		return err
	})
	return t, err
}

// MemoryReader reads what is remembered about the user from the memory read model.
func (s *Service) MemoryReader(db *sql.DB) *memory.Reader {
	return memory.NewReader(db, s.UID, cryptoshred.New(s.Settings.MemoryKeysDir()).Unseal)
}

// ReadMemory queries what is remembered about the user.
func (s *Service) ReadMemory(ctx context.Context, ask func(*memory.Reader) error) error {
	return s.ReadModel(ctx, memory.Name, func(db *sql.DB) error { return ask(s.MemoryReader(db)) })
}
