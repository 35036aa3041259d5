package cli

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"

	"cortex/embedded/sqlite"
	"cortex/events"
	"cortex/projections"
	"cortex/projections/history"
)

// ReadHistory asks the read model of transactions.
func (a *App) ReadHistory(ctx context.Context, ask func(*history.Reader) error) error {
	return a.ReadModel(ctx, history.Name, func(db *sql.DB) error { return ask(history.NewReader(db)) })
}

// ReadModel answers from a read model's file, without a daemon. When the file
// cannot be used it lets a daemon rebuild it and asks again.
func (a *App) ReadModel(ctx context.Context, name string, ask func(*sql.DB) error) error {
	err := a.QueryModel(ctx, name, ask)
	if err == nil || !projections.NeedsRebuild(err) {
		return err
	}
	if !a.HasLog() {
		return a.NoHistory()
	}
	if a.UID != 0 && a.Settings.IsSystem() {
		return &events.Error{Op: "cli.readModel", Kind: events.ErrConfirmation, Subject: "read model " + name, Err: err, Hint: "run: sudo cortex replay " + name}
	}
	if _, _, err := a.Connect(ctx); err != nil {
		return err
	}
	return a.QueryModel(ctx, name, ask)
}

func (a *App) QueryHistory(ctx context.Context, ask func(*history.Reader) error) error {
	return a.QueryModel(ctx, history.Name, func(db *sql.DB) error { return ask(history.NewReader(db)) })
}

func (a *App) QueryModel(ctx context.Context, name string, ask func(*sql.DB) error) error {
	db, err := sqlite.OpenReader(ctx, filepath.Join(a.Settings.ReadModelsDir(), name+".db"), 1)
	if err != nil {
		return projections.WrapError(name, err)
	}
	defer db.Close()
	return projections.WrapError(name, ask(db))
}

// HasLog reports whether there is a log that a read model could be made from.
func (a *App) HasLog() bool { return pathExists(filepath.Join(a.Settings.StateDir, "manifest.json")) }

func (a *App) NoHistory() error {
	return &events.Error{
		Op: "cli", Kind: events.ErrNotFound, Subject: a.Settings.StateDir, Err: errors.New("there is no history yet"),
		Hint: "'cortex install NAME' begins one",
	}
}

// ResolveTransaction finds the transaction that a person means.
func (a *App) ResolveTransaction(ctx context.Context, ref string) (t history.TransactionDetail, err error) {
	err = a.ReadHistory(ctx, func(r *history.Reader) error {
		t, err = r.Show(ctx, ref)
		return err
	})
	return t, err
}
