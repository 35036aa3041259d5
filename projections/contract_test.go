package projections_test

import (
	"testing"

	"go.uber.org/goleak"

	"cortex/projections"
	"cortex/projections/projectiontest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	projectiontest.Run(t, func() projections.Projection { return tally{} })
}
