package broker

import (
	"context"
	"errors"
	"os"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cortex/events"
)

// JetStream lets tests do what no other package can.
func (b *Broker) JetStream() jetstream.JetStream { return b.engine.js }

// ServerConfig is how the server keeps its files.
func (b *Broker) ServerConfig() *server.JetStreamConfig { return b.engine.srv.JetStreamConfig() }

// Dir is the state directory.
func (b *Broker) Dir() string { return b.cfg.Dir }

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
	pub := &publisher{js: b.engine.js, room: func() error { return nil }, settle: func() error { return nil }, allow: func(topic string) error {
		_, err := find(context.Background(), topic)
		return err
	}}
	return pub, b.subscriber(cfg, find)
}

// Verifying gives cfg with another number of events that are checked first.
func Verifying(cfg Config, first uint64) Config {
	cfg.verifyFirst = first
	return cfg
}

// Sneak stores an event as the log would, but lets the log know nothing of it: an
// append whose answer was lost.
func (b *Broker) Sneak(ctx context.Context, e events.Event) error {
	head := b.log.headNow()
	r := events.Record{Event: e, Position: head.Position + 1, Prev: head.Hash}
	r.Hash = events.Chain(r.Prev, r.Position, r.Event)
	msg, err := encode(r, b.engine.seal)
	if err != nil {
		return err
	}
	_, err = b.engine.js.PublishMsg(ctx, msg)
	return err
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
	m := manifest{Host: events.HostID(cfg.NewID())}
	e, err := startEngine(ctx, cfg, m.Host, cfg.MaxBytes)
	if err != nil {
		return nil, err
	}
	b := assemble(cfg, e, m, events.Link{})
	b.lock = lk
	return b, nil
}

// Forge stores a record as somebody would who may write to the streams, but has not
// the key of this host.
func Forge(ctx context.Context, conn *nats.Conn, r events.Record, subject string) error {
	msg, err := envelope(r, subject, &sealer{key: make([]byte, 32)})
	if err != nil {
		return err
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	_, err = js.PublishMsg(ctx, msg)
	return err
}

// Vanish cuts the connections, as the end of the process does.
func (b *Broker) Vanish() {
	b.engine.conn.Close()
	b.engine.reads.Close()
}

// TailLength is how many records the log has in memory.
func (b *Broker) TailLength() int {
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	return len(b.log.recent.records)
}

// Syncing gives cfg with another way to sync the files of the log.
func Syncing(cfg Config, sync func(*os.File) error) Config {
	cfg.sync = sync
	return cfg
}
