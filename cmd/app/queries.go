package app

import (
	"context"
	"database/sql"

	"cortex/events"
	"cortex/projections/history"
	"cortex/projections/packages"
)

// Queries answers questions about the past. Every front end uses it: the command line on
// the files of the read models, the API on those that the daemon has open.
type Queries struct {
	// Open runs ask with the database of the named read model.
	Open func(ctx context.Context, name string, ask func(*sql.DB) error) error
}

// History lists transactions, newest first.
func (q Queries) History(ctx context.Context, f history.Filter) ([]history.TransactionRow, error) {
	list := []history.TransactionRow{}
	err := q.Open(ctx, history.Name, func(db *sql.DB) error {
		found, err := history.NewReader(db).List(ctx, f)
		list = append(list[:0], found...)
		return err
	})
	return list, err
}

// Transaction returns the transaction that ref names: a number, last, last-N, the start of
// a UUID, or a plan id.
func (q Queries) Transaction(ctx context.Context, ref string) (t history.TransactionDetail, err error) {
	err = q.Open(ctx, history.Name, func(db *sql.DB) error {
		t, err = history.NewReader(db).Show(ctx, ref)
		return err
	})
	return t, err
}

// Packages lists packages.
func (q Queries) Packages(ctx context.Context, f packages.Filter) ([]packages.PackageRow, error) {
	list := []packages.PackageRow{}
	err := q.Open(ctx, packages.Name, func(db *sql.DB) error {
		found, err := packages.NewReader(db).List(ctx, f)
		list = append(list[:0], found...)
		return err
	})
	return list, err
}

// queriesAt returns the queries as of a position or time; "" is now.
func (s *Service) queriesAt(at string) Queries {
	return Queries{Open: func(ctx context.Context, name string, ask func(*sql.DB) error) error {
		return s.ReadModelAt(ctx, at, name, ask)
	}}
}

// ResolveTransaction is [Queries.Transaction] on the files of this machine.
func (s *Service) ResolveTransaction(ctx context.Context, ref string) (history.TransactionDetail, error) {
	return s.queriesAt("").Transaction(ctx, ref)
}

// History is [Queries.History] as of a position or time. A machine without a log has an
// empty history.
func (s *Service) History(ctx context.Context, f history.Filter, at string) ([]history.TransactionRow, error) {
	list, err := s.queriesAt(at).History(ctx, f)
	if err != nil && !s.HasLog() && events.KindOf(err) != events.ErrUsage {
		return list, nil
	}
	return list, err
}

// Packages is [Queries.Packages] as of a position or time.
func (s *Service) Packages(ctx context.Context, f packages.Filter, at string) ([]packages.PackageRow, error) {
	return s.queriesAt(at).Packages(ctx, f)
}
