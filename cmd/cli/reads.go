package cli

import (
	"context"
	"errors"
	"path/filepath"

	"cortex/embedded/store"
	"cortex/events"
	"cortex/projections"
	"cortex/projections/history"
)

// readHistory answers from the read model's file, without a daemon. When the
// file cannot be used it lets a daemon rebuild it and asks again.
func (a *App) readHistory(ctx context.Context, ask func(*history.Reader) error) error {
	err := a.askHistory(ctx, ask)
	if err == nil || !projections.Unreadable(err) {
		return err
	}
	if !a.everUsed() {
		return a.nothingYet()
	}
	if a.UID != 0 && a.settings.System() {
		return &events.Error{Op: "cli.readHistory", Kind: events.ErrConfirmation, Subject: "read model history", Err: err, Hint: "run: sudo cortex replay history"}
	}
	if _, _, err := a.connect(ctx); err != nil {
		return err
	}
	return a.askHistory(ctx, ask)
}

func (a *App) askHistory(ctx context.Context, ask func(*history.Reader) error) error {
	path := filepath.Join(a.settings.Reads(), history.Name+".db")
	db, err := store.OpenReader(ctx, path, 1)
	if err != nil {
		return projections.Explain(history.Name, err)
	}
	defer db.Close()
	return projections.Explain(history.Name, ask(history.NewReader(db)))
}

// everUsed reports whether there is a log that a read model could be made from.
func (a *App) everUsed() bool { return exists(filepath.Join(a.settings.State, "manifest.json")) }

func (a *App) nothingYet() error {
	return &events.Error{
		Op: "cli", Kind: events.ErrNotFound, Subject: a.settings.State, Err: errors.New("there is no history yet"),
		Hint: "'cortex install NAME' begins one",
	}
}

// resolve finds the transaction that a person means.
func (a *App) resolve(ctx context.Context, ref string) (t history.Detail, err error) {
	err = a.readHistory(ctx, func(r *history.Reader) error {
		t, err = r.Show(ctx, ref)
		return err
	})
	return t, err
}
