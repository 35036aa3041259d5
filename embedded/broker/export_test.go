package broker

import (
	"context"
	"errors"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"cortex/events"
)

// KeepEvery lets tests wait for the manifest.
const KeepEvery = keepEvery

// JetStream lets tests do what no other package can.
func (b *Broker) JetStream() jetstream.JetStream { return b.engine.js }

// Server lets tests stop the server as a crash would.
func (b *Broker) Server() *server.Server { return b.engine.srv }

// Abandon leaves the directory as kill -9 would: the lock goes, nothing is
// written any more. What the server had not written it cannot write later.
func (b *Broker) Abandon() {
	b.cancel()
	b.wg.Wait()
	b.lock.release()
}

// StreamDir is where the server keeps a stream.
func StreamDir(dir, name string) string { return (&Config{Dir: dir}).streamDir(name) }

// Adapter gives publisher and subscriber over streams that are made for each
// topic, for a suite whose topics are not ours.
func (b *Broker) Adapter(cfg SubscriberConfig) (message.Publisher, message.Subscriber) {
	find := func(ctx context.Context, topic string) (jetstream.Stream, error) {
		s, err := b.engine.js.CreateStream(ctx, jetstream.StreamConfig{Name: "T_" + topic, Subjects: []string{topic}})
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return b.engine.js.Stream(ctx, "T_"+topic)
		}
		return s, err
	}
	pub := &publisher{js: b.engine.js, room: func() error { return nil }, allow: func(topic string) error {
		_, err := find(context.Background(), topic)
		return err
	}}
	return pub, b.subscriber(cfg, find)
}

// Unsure makes the log believe that an append's outcome is unknown.
func (b *Broker) Unsure() {
	b.log.turn <- struct{}{}
	b.log.unsure = true
	<-b.log.turn
}

// OpenBare is a broker without streams of its own, so that the storage it may
// use is free for those of [Broker.Adapter].
func OpenBare(ctx context.Context, dir string) (*Broker, error) {
	cfg := Config{Dir: dir}
	cfg.setDefaults()
	lk, err := takeLock(dir, true)
	if err != nil {
		return nil, err
	}
	e, err := startEngine(ctx, cfg, cfg.MaxBytes)
	if err != nil {
		return nil, err
	}
	b := assemble(cfg, e, manifest{Host: events.HostID(cfg.NewID())}, events.Link{})
	b.lock = lk
	return b, nil
}
