package natslog

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/server"

	"cortex/embedded/natslog/filestore"
	"cortex/events"
)

// The limits of the store, unless a [Config] says otherwise.
const (
	DefaultMaxBytes = 8 << 30  // of the facts stream
	DefaultMinFree  = 64 << 20 // bytes that writing leaves free on the disk

	maxRequestBytes = 256 << 20           // of the requests stream
	maxRequestAge   = 30 * 24 * time.Hour // then a request is forgotten
	dedupWindow     = 4 * time.Hour       // in which an event id is stored once
	maxPayloadBytes = 4 << 20             // of one NATS message; an event is smaller
	serverTimeout   = 5 * time.Second     // for the server in our own process
)

// Config says where the log is and how it is made the first time.
type Config struct {
	// Dir is the state directory. The broker owns Dir/lock, Dir/manifest.json
	// and Dir/log in it.
	Dir string
	// Host is the host of the store to make; "" makes a new one. A store that
	// is already there must be of this host, if one is given.
	Host events.HostID
	// Machine and Build go into the first fact.
	Machine, Build string
	// Create makes the store if, and only if, the directory holds none.
	Create bool
	// MaxBytes limits the facts stream when it is created. A full log refuses.
	MaxBytes int64
	// MinFree is how many bytes must stay free on the disk; below, nothing is
	// written. The server itself cannot go on after it has met a full disk.
	MinFree int64
	// ClusterConfig keeps the log instead of a server in our process; nil is ours.
	Cluster *ClusterConfig
	// Listen is HOST:PORT where NATS clients may listen to facts, which is all that
	// they may; "" is nowhere. The server of a cluster listens for itself.
	Listen string

	Now    func() time.Time
	NewID  func() events.ID
	Logger *slog.Logger

	verifyNewest  uint64               // see defaultVerifyNewest
	syncFile      func(*os.File) error // of the log's blocks
	serverVersion string               // of the linked nats-server
	files         filestore.Store      // set by openFiles; unused with a cluster
}

func (c *Config) setDefaults() {
	if c.verifyNewest == 0 {
		c.verifyNewest = defaultVerifyNewest
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	if c.MinFree == 0 {
		c.MinFree = DefaultMinFree
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.serverVersion == "" {
		c.serverVersion = server.VERSION
	}
	if c.syncFile == nil {
		c.syncFile = (*os.File).Sync
	}
	if c.NewID == nil {
		c.NewID = func() events.ID { return events.ID(uuid.Must(uuid.NewV7()).String()) }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

func (c *Config) validate() error {
	if c.Dir == "" {
		return errors.New("broker: no directory")
	}
	if c.MaxBytes < 0 || c.MinFree < 0 {
		return errors.New("broker: limits must not be negative")
	}
	if c.Host != "" {
		if err := c.Host.Validate(); err != nil {
			return err
		}
	}
	if c.Cluster != nil && c.Listen != "" {
		return errors.New("broker: clients of others connect to the cluster, not to us")
	}
	return c.Cluster.validate()
}

func (c *Config) logDir() string { return filepath.Join(c.Dir, "log") }

// Broker owns a state directory and the server on it. Use [Open].
type Broker struct {
	cfg            Config
	lock           *lock
	manifestWriter *manifestWriter
	engine         *engine
	log            *factLog
	requestSyncer  *syncer // of the requests' files

	ctx    context.Context // ends when Close begins
	cancel context.CancelFunc
	wg     sync.WaitGroup // the broker's own goroutines

	mu           sync.Mutex
	subs         map[*subscription]struct{}
	lastProgress events.Progress // the newest, for who comes to follow
	closeOnce    sync.Once
	closeErr     error // of Close
}

// Open takes the directory, checks what it holds and starts the server. It fails
// with ErrConflict when another process owns the directory, ErrNotFound when it
// holds no store and none may be made, and ErrCorrupt when what it holds is not
// what was written; then nothing in it was changed.
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

// newestFile does what Open promises, under the lock.
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

// newBroker wires a running engine into a broker whose log ends at head.
func newBroker(cfg Config, e *engine, m manifest, head events.Link) *Broker {
	b := &Broker{cfg: cfg, engine: e, requestSyncer: newSyncer(cfg, RequestsStream), subs: map[*subscription]struct{}{}}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.manifestWriter = newManifestWriter(cfg, m)
	b.log = newFactLog(cfg, m.Host, e, head, b.manifestWriter)
	b.wg.Go(func() { b.manifestWriter.run(b.ctx) })
	return b
}

// syncExisting makes durable what a process that was killed had left to the kernel, before
// anybody is shown it.
func (b *Broker) syncExisting() error {
	if err := errors.Join(b.log.syncer.waitDurable(), b.requestSyncer.waitDurable()); err != nil {
		return &events.Error{Op: "natslog.Open", Kind: events.ErrUnavailable, Subject: b.cfg.logDir(), Err: err}
	}
	return nil
}

// abandon stops what was assembled and is not to be used.
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

// Close stops everything and gives the directory up. It is safe to call twice.
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
