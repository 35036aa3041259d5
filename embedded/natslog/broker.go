package natslog

import (
	"context"
	"errors"
	"sync"

	"cortex/events"
)

// Broker owns a state directory and the server that runs on it. [Open] returns one.
type Broker struct {
	cfg            Config
	lock           *lock
	manifestWriter *manifestWriter
	engine         *engine
	log            *factLog
	requestSyncer  *syncer // of the requests stream

	ctx    context.Context // ends when Close begins
	cancel context.CancelFunc
	wg     sync.WaitGroup // the broker's own goroutines

	mu           sync.Mutex
	subs         map[*subscription]struct{}
	lastProgress events.Progress // the newest, for a follower that starts later
	closeOnce    sync.Once
	closeErr     error // of Close
}

// Open locks the directory, checks the store in it and starts the server. It fails
// with ErrConflict when another process owns the directory, with ErrNotFound when
// there is no store and Config.Create is false, and with ErrCorrupt when the store is
// damaged. It fails with ErrInternal when the linked nats-server is not one that
// package filestore was tested with. A failed Open changes nothing in a store.
func Open(ctx context.Context, cfg Config) (*Broker, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, &events.Error{Op: "natslog.Open", Kind: events.ErrInternal, Err: err}
	}
	lk, err := acquireLock(cfg.Dir, cfg.Create)
	if err != nil {
		return nil, err
	}
	b, err := open(ctx, cfg)
	if err != nil {
		lk.release()
		return nil, err
	}
	b.lock = lk
	if b.engine.clientAuth != nil {
		if err := b.serveClients(b.engine.clientAuth); err != nil {
			return nil, errors.Join(err, b.Close())
		}
	}
	return b, nil
}

// open is [Open] under the lock.
func open(ctx context.Context, cfg Config) (*Broker, error) {
	if err := cfg.openFiles(); err != nil {
		return nil, err
	}
	m, err := inspectDir(cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Cluster != nil {
		return openCluster(ctx, cfg, m)
	}
	if m == nil {
		return createStore(ctx, cfg)
	}
	window, err := verifyFiles(cfg, *m)
	if err != nil {
		return nil, err
	}
	e, err := startEngine(ctx, cfg, m.Host, m.MaxBytes)
	if err != nil {
		return nil, err
	}
	if err := checkStreams(ctx, e, *m, window.last); err != nil {
		e.stop()
		return nil, err
	}
	b := newBroker(cfg, e, *m, window.last)
	if err := b.syncExisting(); err != nil {
		b.abandon()
		return nil, err
	}
	if window.first > 1 {
		b.wg.Go(func() { b.log.verifyOlderBlocks(b.ctx, cfg, window) })
	}
	return b, nil
}

// newBroker returns a broker on a running engine. Its log ends at head.
func newBroker(cfg Config, e *engine, m manifest, head events.Link) *Broker {
	b := &Broker{cfg: cfg, engine: e, requestSyncer: newSyncer(cfg, RequestsStream), subs: map[*subscription]struct{}{}}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.manifestWriter = newManifestWriter(cfg, m)
	b.log = newFactLog(cfg, m.Host, e, head, b.manifestWriter)
	b.wg.Go(func() { b.manifestWriter.run(b.ctx) })
	return b
}

// syncExisting syncs both streams. A process that was killed may have left messages
// in the kernel's cache; they must be durable before a reader sees them.
func (b *Broker) syncExisting() error {
	if err := errors.Join(b.log.syncer.waitDurable(), b.requestSyncer.waitDurable()); err != nil {
		return &events.Error{Op: "natslog.Open", Kind: events.ErrUnavailable, Subject: b.cfg.logDir(), Err: err}
	}
	return nil
}

// abandon stops a broker that could not be opened completely.
func (b *Broker) abandon() {
	b.cancel()
	b.wg.Wait()
	b.engine.stop()
	b.requestSyncer.close()
	b.log.syncer.close()
}

// Log is the host's log of facts.
func (b *Broker) Log() events.Log { return b.log }

// Host is the host whose store this is.
func (b *Broker) Host() events.HostID { return b.log.host }

// Close stops the server and unlocks the directory. It is safe to call twice.
func (b *Broker) Close() error {
	b.closeOnce.Do(func() {
		b.engine.stopRetrying()
		b.closeSubscriptions()
		b.log.close()
		b.mu.Lock()
		b.cancel()
		b.mu.Unlock()
		b.wg.Wait()
		b.engine.stop()
		b.requestSyncer.close()
		b.log.syncer.close()
		b.closeErr = b.manifestWriter.writeFinal()
		b.lock.release()
	})
	return b.closeErr
}
