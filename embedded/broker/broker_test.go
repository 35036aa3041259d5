package broker_test

import (
	"context"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cortex/embedded/broker"
	"cortex/events"
	"cortex/events/logtest"
)

func TestMain(m *testing.M) {
	if what := os.Getenv(childVariable); what != "" {
		os.Exit(runChild(what, os.Getenv("DIR")))
	}
	goleak.VerifyTestMain(m)
}

// open opens a broker that is closed when the test ends, at the place of the test.
func open(t testing.TB, cfg broker.Config) *broker.Broker {
	t.Helper()
	if cfg.Cluster == nil {
		cfg.Cluster = place
	}
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

// request is a wish to install something.
func request(t testing.TB, b *broker.Broker) events.Event {
	t.Helper()
	id := logtest.NewID()
	e, err := events.NewRequest(events.Event{
		ID: id, Host: b.Host(), Subject: events.TransactionSubject(events.TransactionID(id)),
		Transaction: events.TransactionID(id), Time: time.Now(), Actor: events.Actor{UID: 1000, Program: "test"},
	}, &events.CancelRequest{Reason: "for a test"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}
