package memory_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"cortex/events"
	"cortex/events/memlog"
	"cortex/projections"
	"cortex/projections/memory"
	"cortex/projections/projectiontest"
)

// BenchmarkRecord applies the two facts of a transaction with a choice after a history of
// 1,000 and of 100,000 transactions.
func BenchmarkRecord(b *testing.B) {
	for _, before := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint(before), func(b *testing.B) {
			m, err := projections.New(memory.Definition(), projectiontest.Open, projections.Config{Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = m.Close() }()
			if err := m.Open(context.Background(), memlog.New(projectiontest.Host)); err != nil {
				b.Fatal(err)
			}
			var link events.Link
			n := 0
			next := func(count int) (records []events.Record) {
				for range count {
					n++
					for i, f := range []events.Fact{chose(n, fmt.Sprint("need ", n%500), "cowsay").fact, &events.Succeeded{}} {
						txn := events.TransactionID(id(n))
						e, err := events.NewFactEvent(events.Event{
							ID: id(10_000_000 + 2*n + i), Host: projectiontest.Host, Transaction: txn, Subject: events.TransactionSubject(txn),
							Time: time.Unix(int64(n), 0), Actor: events.Actor{UID: ada},
						}, f)
						if err != nil {
							b.Fatal(err)
						}
						r := events.Record{Event: e, Position: link.Position + 1, Prev: link.Hash}
						r.Hash = events.ChainHash(r.Prev, r.Position, e)
						link = r.Link()
						records = append(records, r)
					}
				}
				return records
			}
			for left := before; left > 0; left -= 500 {
				if err := m.Apply(context.Background(), next(500)); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				if err := m.Apply(context.Background(), next(1)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
