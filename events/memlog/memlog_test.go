package memlog_test

import (
	"testing"

	"go.uber.org/goleak"

	"cortex/events"
	"cortex/events/logtest"
	"cortex/events/memlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemlogKeepsTheContract(t *testing.T) {
	logtest.Run(t, func(*testing.T) (events.Log, func() events.Log) {
		return memlog.New(events.HostID(logtest.NewID())), nil
	})
}
