package natslog_test

import (
	"context"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cortex/embedded/natslog"
	"cortex/events"
	"cortex/events/logtest"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(childVariable); mode != "" {
		os.Exit(runChild(mode, os.Getenv("DIR")))
	}
	goleak.VerifyTestMain(m)
}

// open opens a broker, in the cluster of the test if there is one. The end of the test closes it.
func open(t testing.TB, cfg natslog.Config) *natslog.Broker {
	t.Helper()
	if cfg.Cluster == nil {
		cfg.Cluster = testCluster
	}
	b, err := natslog.Open(context.Background(), cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { closeBroker(t, b) })
	return b
}

func closeBroker(t testing.TB, b *natslog.Broker) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestLogContract(t *testing.T) {
	logtest.Run(t, func(t *testing.T) (events.Log, func() events.Log) {
		dir := t.TempDir()
		b := open(t, natslog.Config{Dir: dir, Create: true})
		return b.Log(), func() events.Log {
			closeBroker(t, b)
			b = open(t, natslog.Config{Dir: dir})
			return b.Log()
		}
	})
}

// request returns a request to cancel a transaction.
func request(t testing.TB, b *natslog.Broker) events.Event {
	t.Helper()
	id := logtest.NewID()
	e, err := events.NewRequestEvent(events.Event{
		ID: id, Host: b.Host(), Subject: events.TransactionSubject(events.TransactionID(id)),
		Transaction: events.TransactionID(id), Time: time.Now(), Actor: events.Actor{UID: 1000, Program: "test"},
	}, &events.CancelRequest{Reason: "for a test"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}
