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

// readHistory asks the read model of transactions.
func (a *App) readHistory(ctx context.Context, ask func(*history.Reader) error) error {
	return a.readModel(ctx, history.Name, func(db *sql.DB) error { return ask(history.NewReader(db)) })
}

// readModel answers from a read model's file, without a daemon. When the file
// cannot be used it lets a daemon rebuild it and asks again.
func (a *App) readModel(ctx context.Context, name string, ask func(*sql.DB) error) error {
	err := a.askModel(ctx, name, ask)
	if err == nil || !projections.NeedsRebuild(err) {
		return err
	}
	if !a.everUsed() {
		return a.nothingYet()
	}
	if a.UID != 0 && a.settings.IsSystem() {
		return &events.Error{Op: "cli.readModel", Kind: events.ErrConfirmation, Subject: "read model " + name, Err: err, Hint: "run: sudo cortex replay " + name}
	}
	if _, _, err := a.connect(ctx); err != nil {
		return err
	}
	return a.askModel(ctx, name, ask)
}

func (a *App) askHistory(ctx context.Context, ask func(*history.Reader) error) error {
	return a.askModel(ctx, history.Name, func(db *sql.DB) error { return ask(history.NewReader(db)) })
}

func (a *App) askModel(ctx context.Context, name string, ask func(*sql.DB) error) error {
	db, err := sqlite.OpenReader(ctx, filepath.Join(a.settings.ReadModelsDir(), name+".db"), 1)
	if err != nil {
		return projections.WrapError(name, err)
	}
	defer db.Close()
	return projections.WrapError(name, ask(db))
}

// everUsed reports whether there is a log that a read model could be made from.
func (a *App) everUsed() bool { return exists(filepath.Join(a.settings.StateDir, "manifest.json")) }

func (a *App) nothingYet() error {
	return &events.Error{
		Op: "cli", Kind: events.ErrNotFound, Subject: a.settings.StateDir, Err: errors.New("there is no history yet"),
		Hint: "'cortex install NAME' begins one",
	}
}

// resolve finds the transaction that a person means.
func (a *App) resolve(ctx context.Context, ref string) (t history.TransactionDetail, err error) {
	err = a.readHistory(ctx, func(r *history.Reader) error {
		t, err = r.Show(ctx, ref)
		return err
	})
	return t, err
}
