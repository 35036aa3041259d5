package broker_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"cortex/embedded/broker"
	"cortex/events"
	"cortex/events/logtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// open opens a broker that is closed when the test ends.
func open(t testing.TB, cfg broker.Config) *broker.Broker {
	t.Helper()
	b, err := broker.Open(context.Background(), cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { closeBroker(t, b) })
	return b
}

func closeBroker(t testing.TB, b *broker.Broker) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestKeepsTheContractOfTheLog(t *testing.T) {
	logtest.Run(t, func(t *testing.T) (events.Log, func() events.Log) {
		dir := t.TempDir()
		b := open(t, broker.Config{Dir: dir, Create: true})
		return b.Log(), func() events.Log {
			closeBroker(t, b)
			b = open(t, broker.Config{Dir: dir})
			return b.Log()
		}
	})
}
