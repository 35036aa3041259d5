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

// BenchmarkSync is the price of what power loss cannot take: our append, which is
// synced, beside messages of the same size on a bare stream, synced each and, as the
// server does by itself, every two minutes.
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
			data := make([]byte, 900) // an event of that kind with its headers
			for b.Loop() {
				if _, err := js.Publish(b.Context(), "bare", data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// bare is a server without anything of ours, and a stream on it.
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
