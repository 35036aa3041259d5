package projections_test

import (
	"context"
	"testing"

	"cortex/embedded/sqlite"
	"cortex/projections"
	"cortex/projections/projectiontest"
)

func TestMain(m *testing.M) { projectiontest.Main(m) }

func TestContract(t *testing.T) { projectiontest.Run(t, tally(nil)) }

func TestContractWithSQLiteStore(t *testing.T) {
	open := func(ctx context.Context, path string) (projections.Store, error) {
		return sqlite.Open(ctx, sqlite.Config{Path: path})
	}
	projectiontest.RunOn(t, tally(nil), open)
}
