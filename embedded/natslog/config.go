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
