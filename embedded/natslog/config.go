package natslog

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/server"

	"cortex/embedded/natslog/filestore"
	"cortex/events"
)

// The limits of the store, if a [Config] sets none.
const (
	DefaultMaxBytes = 8 << 30  // of the facts stream
	DefaultMinFree  = 64 << 20 // bytes that must stay free on the disk

	maxRequestBytes = 256 << 20           // of the requests stream
	maxRequestAge   = 30 * 24 * time.Hour // the server deletes older requests
	dedupWindow     = 4 * time.Hour       // a repeated event id is ignored for this long
	maxPayloadBytes = 4 << 20             // of one NATS message; an event is smaller
	serverTimeout   = 5 * time.Second     // for an answer of the server in this process
)

// Config is where the log is stored and how it is created.
type Config struct {
	// Dir is the state directory. The broker owns Dir/lock, Dir/manifest.json
	// and Dir/log in it.
	Dir string
	// Host is the host of a new store; "" chooses a new id. An existing store must
	// belong to Host unless it is "".
	Host events.HostID
	// Machine and Build go into the first fact.
	Machine, Build string
	// Create allows Open to create a store in a directory that has none.
	Create bool
	// MaxBytes limits the facts stream. It takes effect when the stream is created.
	// A full log refuses appends.
	MaxBytes int64
	// MinFree is how many bytes must stay free on the disk. Below that, appends are
	// refused: the server stops for good when a write fails.
	MinFree int64
	// Cluster is the cluster that stores the log; nil means a server in this process.
	Cluster *ClusterConfig
	// Listen is HOST:PORT where NATS clients can connect to read facts; "" means that
	// the server does not listen. It must be "" with a cluster.
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
		return errors.New("natslog: no directory")
	}
	if c.MaxBytes < 0 || c.MinFree < 0 {
		return errors.New("natslog: limits must not be negative")
	}
	if c.Host != "" {
		if err := c.Host.Validate(); err != nil {
			return err
		}
	}
	if c.Cluster != nil && c.Listen != "" {
		return errors.New("natslog: a cluster and an address to listen on exclude each other")
	}
	return c.Cluster.validate()
}

func (c *Config) logDir() string { return filepath.Join(c.Dir, "log") }
