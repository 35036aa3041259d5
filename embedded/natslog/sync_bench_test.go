package natslog_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cortex/embedded/natslog"
	"cortex/events"
	"cortex/events/logtest"
)

// BenchmarkSync compares the durable append with messages of the same size on a plain stream:
// with a sync of each message, and with the server's default of a sync every two minutes.
func BenchmarkSync(b *testing.B) {
	b.Run("append", func(b *testing.B) {
		l := open(b, natslog.Config{Dir: b.TempDir(), Create: true}).Log()
		s := logtest.NewTransaction()
		for i := 0; b.Loop(); i++ {
			logtest.Append(b, l, s, &events.StepSucceeded{Index: i})
		}
	})
	for name, always := range map[string]bool{"bare-each": true, "bare-later": false} {
		b.Run(name, func(b *testing.B) {
			js := bare(b, always)
			data := make([]byte, 900) // the size of such an event with its headers
			for b.Loop() {
				if _, err := js.Publish(b.Context(), "bare", data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// bare returns a client of a plain server with one stream.
func bare(b *testing.B, always bool) jetstream.JetStream {
	b.Helper()
	srv, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, JetStream: true, StoreDir: b.TempDir(), SyncAlways: always})
	check(b, err)
	srv.Start()
	b.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		b.Fatal("the server did not start")
	}
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	check(b, err)
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	check(b, err)
	_, err = js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "BARE", Subjects: []string{"bare"}})
	check(b, err)
	return js
}
