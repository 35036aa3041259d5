package watermill_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	stock "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	_ "modernc.org/sqlite"
)

// topic is also the name of the stream that the adapter creates.
const topic = "records"

// record has the size of the record of the other benchmarks.
var record = []byte(`{"number":1,"intent":"` + strings.Repeat("x", 180) + `"}`)

// BenchmarkPublish publishes through the adapter to a stream that syncs each message. A record
// is visible when a handler, which processes messages in order, has committed a row in
// SQLite.
func BenchmarkPublish(b *testing.B) {
	for _, publishers := range []int{1, 20, 100} {
		for _, until := range []string{"durable", "visible"} {
			b.Run(fmt.Sprintf("publishers=%d/until=%s/by=watermill", publishers, until), func(b *testing.B) {
				r := newPipeline(b)
				if until == "visible" {
					r.follow(b)
				}
				flood(b, publishers, r.put)
			})
		}
	}
}

// pipeline is a publisher with an optional handler.
type pipeline struct {
	options []nats.Option
	pub     *stock.Publisher
	shown   *sync.Map // id → chan struct{}, closed when the row is visible; nil without a handler
}

var stream = stock.JetStreamConfig{AutoProvision: true, TrackMsgId: true}

func newPipeline(b *testing.B) *pipeline {
	b.Helper()
	srv, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, JetStream: true, StoreDir: b.TempDir(), SyncAlways: true})
	if err != nil {
		b.Fatal(err)
	}
	srv.Start()
	b.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		b.Fatal("the server did not start")
	}
	r := &pipeline{options: []nats.Option{nats.InProcessServer(srv)}}
	r.pub, err = stock.NewPublisher(stock.PublisherConfig{NatsOptions: r.options, JetStream: stream}, watermill.NopLogger{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := r.pub.Close(); err != nil {
			b.Error(err)
		}
	})
	return r
}

// follow starts a handler like a projection behind Watermill's router: a transaction for each
// message.
func (r *pipeline) follow(b *testing.B) {
	b.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "records.db")+"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(b.Context(), `CREATE TABLE records (id TEXT PRIMARY KEY, data BLOB NOT NULL)`); err != nil {
		b.Fatal(err)
	}
	sub, err := stock.NewSubscriber(stock.SubscriberConfig{NatsOptions: r.options, JetStream: stream}, watermill.NopLogger{})
	if err != nil {
		b.Fatal(err)
	}
	messages, err := sub.Subscribe(b.Context(), topic)
	if err != nil {
		b.Fatal(err)
	}
	r.shown = &sync.Map{}
	var handling sync.WaitGroup
	handling.Go(func() {
		for m := range messages {
			if _, err := db.Exec(`INSERT INTO records VALUES (?, ?)`, m.UUID, []byte(m.Payload)); err != nil {
				b.Error(err)
			}
			m.Ack()
			if shown, ok := r.shown.LoadAndDelete(m.UUID); ok {
				close(shown.(chan struct{}))
			}
		}
	})
	b.Cleanup(func() {
		if err := sub.Close(); err != nil {
			b.Error(err)
		}
		handling.Wait()
	})
}

func (r *pipeline) put(ctx context.Context) error {
	m := message.NewMessage(watermill.NewUUID(), record)
	if r.shown == nil {
		return r.pub.Publish(topic, m)
	}
	shown := make(chan struct{})
	r.shown.Store(m.UUID, shown)
	if err := r.pub.Publish(topic, m); err != nil {
		return err
	}
	select {
	case <-shown:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// flood distributes b.N records over the publishers and reports the metrics of package
// stress.
func flood(b *testing.B, publishers int, put func(context.Context) error) {
	b.Helper()
	took := make([]time.Duration, b.N)
	errs := make([]error, publishers)
	var next atomic.Int64
	var running sync.WaitGroup
	b.ResetTimer()
	for p := range publishers {
		running.Go(func() {
			for errs[p] == nil {
				n := int(next.Add(1)) - 1
				if n >= b.N {
					return
				}
				at := time.Now()
				errs[p] = put(b.Context())
				took[n] = time.Since(at)
			}
		})
	}
	running.Wait()
	b.StopTimer()
	if err := errors.Join(errs...); err != nil {
		b.Fatal(err)
	}
	slices.Sort(took)
	ms := func(q int) float64 { return float64(took[(len(took)-1)*q/100].Microseconds()) / 1000 }
	b.ReportMetric(ms(50), "p50-ms")
	b.ReportMetric(ms(99), "p99-ms")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
