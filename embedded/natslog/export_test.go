package natslog

import (
	"context"
	"errors"
	"os"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cortex/embedded/natslog/filestore"
	"cortex/events"
)

// JetStream returns the JetStream client.
func (b *Broker) JetStream() jetstream.JetStream { return b.engine.js }

// ServerConfig returns the JetStream configuration of the server.
func (b *Broker) ServerConfig() *server.JetStreamConfig { return b.engine.srv.JetStreamConfig() }

// Dir returns the state directory.
func (b *Broker) Dir() string { return b.cfg.Dir }

// StreamFiles returns the server's files of a stream.
func StreamFiles(dir, stream string) filestore.Stream {
	cfg := Config{Dir: dir}
	cfg.setDefaults()
	if err := cfg.openFiles(); err != nil {
		panic(err)
	}
	return cfg.files.Stream(stream)
}

// WithServerVersion returns cfg as it is in a build with another nats-server.
func WithServerVersion(cfg Config, version string) Config {
	cfg.serverVersion = version
	return cfg
}

// Adapter returns a publisher and a subscriber that create a stream for each topic, for
// Watermill's test suite.
func (b *Broker) Adapter(cfg SubscriberConfig) (message.Publisher, message.Subscriber) {
	find := func(ctx context.Context, topic string) (jetstream.Stream, error) {
		s, err := b.engine.js.CreateStream(ctx, jetstream.StreamConfig{Name: "T_" + topic, Subjects: []string{topic}})
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return b.engine.js.Stream(ctx, "T_"+topic)
		}
		return s, err
	}
	pub := &publisher{js: b.engine.js, checkFreeSpace: func() error { return nil }, waitDurable: func() error { return nil }, checkTopic: func(topic string) error {
		_, err := find(context.Background(), topic)
		return err
	}}
	return pub, b.subscriber(cfg, find)
}

// WithVerifyNewest returns cfg with another number of events to check before the log opens.
func WithVerifyNewest(cfg Config, first uint64) Config {
	cfg.verifyNewest = first
	return cfg
}

// AppendUnnoticed stores an event without updating the log, like an append whose answer was
// lost.
func (b *Broker) AppendUnnoticed(ctx context.Context, e events.Event) error {
	head := b.log.currentHead()
	r := events.Record{Event: e, Position: head.Position + 1, Prev: head.Hash}
	r.Hash = events.ChainHash(r.Prev, r.Position, r.Event)
	msg, err := encodeFact(r, b.engine.signer)
	if err != nil {
		return err
	}
	_, err = b.engine.js.PublishMsg(ctx, msg)
	return err
}

// OpenWithoutStreams returns a broker without streams, so that [Broker.Adapter] can use all of
// its storage.
func OpenWithoutStreams(ctx context.Context, dir string) (*Broker, error) {
	cfg := Config{Dir: dir}
	cfg.setDefaults()
	if err := cfg.openFiles(); err != nil {
		return nil, err
	}
	lk, err := acquireLock(dir, true)
	if err != nil {
		return nil, err
	}
	m := manifest{Host: events.HostID(cfg.NewID())}
	e, err := startEngine(ctx, cfg, m.Host, cfg.MaxBytes)
	if err != nil {
		return nil, err
	}
	b := newBroker(cfg, e, m, events.Link{})
	b.lock = lk
	return b, nil
}

// Forge stores a record with a signature of another key, like a client with write access to the
// streams.
func Forge(ctx context.Context, conn *nats.Conn, r events.Record, subject string) error {
	msg, err := newMessage(r, subject, &messageSigner{key: make([]byte, 32)})
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

// CutConnections closes the connections, as the end of the process does.
func (b *Broker) CutConnections() {
	b.engine.conn.Close()
	b.engine.readConn.Close()
}

// RecentLength returns how many records the log has in memory.
func (b *Broker) RecentLength() int {
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	return len(b.log.recent.records)
}

// WithSync returns cfg with another function to sync the blocks.
func WithSync(cfg Config, sync func(*os.File) error) Config {
	cfg.syncFile = sync
	return cfg
}
