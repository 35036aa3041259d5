package daemon

import (
	"context"
	"database/sql"
	"errors"

	"cortex/cmd/app"
	"cortex/events"
	"cortex/projections/history"
	"cortex/projections/packages"
)

// queryModel runs ask with the live database of a read model.
func (srv *server) queryModel(ctx context.Context, name string, ask func(*sql.DB) error) error {
	for _, m := range srv.readModels {
		if m.Name() == name {
			return m.Read(ctx, ask)
		}
	}
	return &events.Error{Op: "daemon.queryModel", Kind: events.ErrNotFound, Subject: name, Err: errors.New("no such read model")}
}

// queries are the use cases that the API shares with the command line.
func (srv *server) queries() app.Queries { return app.Queries{Open: srv.queryModel} }

// History implements [api.Daemon].
func (srv *server) History(ctx context.Context, f history.Filter) ([]history.TransactionRow, error) {
	return srv.queries().History(ctx, f)
}

// Transaction implements [api.Daemon].
func (srv *server) Transaction(ctx context.Context, ref string) (history.TransactionDetail, error) {
	return srv.queries().Transaction(ctx, ref)
}

// Packages implements [api.Daemon].
func (srv *server) Packages(ctx context.Context, f packages.Filter) ([]packages.PackageRow, error) {
	return srv.queries().Packages(ctx, f)
}
