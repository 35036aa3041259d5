package natslog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"cortex/events"
	"cortex/internal/atomicfile"
)

// manifestFormat is the version of the manifest's own layout.
const manifestFormat = 1

// manifestWriteInterval is the minimum time between two writes of the manifest.
const manifestWriteInterval = 20 * time.Millisecond

// manifest describes the store outside of JetStream. The next start compares it with
// the store.
type manifest struct {
	Format   int                  `json:"format"`
	Creating bool                 `json:"creating,omitempty"` // the first event is not durable yet
	Cluster  bool                 `json:"cluster,omitempty"`  // a cluster stores the log
	Host     events.HostID        `json:"host"`
	MaxBytes int64                `json:"max_bytes"`
	Streams  map[string]time.Time `json:"streams"` // creation times by name
	Head     manifestLink         `json:"head"`
}

type manifestLink struct {
	Position events.Position `json:"position"`
	ID       events.ID       `json:"id"`
	Hash     string          `json:"hash"`
}

func (m *manifest) setHead(l events.Link) {
	m.Head = manifestLink{l.Position, l.ID, l.Hash.String()}
}

func manifestPath(dir string) string { return filepath.Join(dir, "manifest.json") }

// readManifest returns nil when there is no manifest.
func readManifest(dir string) (*manifest, error) {
	path := manifestPath(dir)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // absence is an answer
	}
	if err != nil {
		return nil, &events.Error{Op: "natslog.readManifest", Kind: events.ErrUnavailable, Subject: path, Err: err}
	}
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, corruptError(path, fmt.Errorf("decode the manifest: %w", err))
	}
	if m.Format != manifestFormat {
		return nil, corruptError(path, fmt.Errorf("the manifest has format %d, this version of cortex reads format %d", m.Format, manifestFormat))
	}
	if err := m.Host.Validate(); err != nil {
		return nil, corruptError(path, fmt.Errorf("host: %w", err))
	}
	return &m, nil
}

// writeManifest replaces the manifest atomically. With syncDir the replacement is durable
// when it returns.
func writeManifest(dir string, m manifest, syncDir bool) error {
	b, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return fmt.Errorf("encode manifest: %w", err)
	}
	o := atomicfile.Options{Mode: 0o644, Temp: filepath.Base(manifestPath(dir)) + ".tmp", SkipDirSync: !syncDir}
	if err := atomicfile.Write(manifestPath(dir), append(b, '\n'), o); err != nil {
		return fmt.Errorf("replace manifest: %w", err)
	}
	return nil
}

// manifestWriter writes the manifest in the background, some milliseconds after an
// append. An older manifest is still correct, because the log only grows.
type manifestWriter struct {
	cfg   Config
	dirty chan struct{}

	writing  sync.Mutex
	mu       sync.Mutex
	manifest manifest
}

func newManifestWriter(cfg Config, m manifest) *manifestWriter {
	return &manifestWriter{cfg: cfg, dirty: make(chan struct{}, 1), manifest: m}
}

// recordHead schedules a write with the log's new head.
func (k *manifestWriter) recordHead(head events.Link) {
	k.mu.Lock()
	k.manifest.setHead(head)
	k.mu.Unlock()
	select {
	case k.dirty <- struct{}{}:
	default:
	}
}

// run writes the manifest after appends until ctx is done.
func (k *manifestWriter) run(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-k.dirty:
		case <-ctx.Done():
			return
		}
		if err := k.write(false); err != nil {
			k.cfg.Logger.Warn("cannot write the manifest; the next event tries again", "error", err)
		}
		pause.Reset(manifestWriteInterval)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
	}
}

// write writes the current manifest. Only one write runs at a time, so an older
// manifest never replaces a newer one.
func (k *manifestWriter) write(syncDir bool) error {
	k.writing.Lock()
	defer k.writing.Unlock()
	k.mu.Lock()
	m := k.manifest
	k.mu.Unlock()
	return writeManifest(k.cfg.Dir, m, syncDir)
}

// markCreated removes the mark of an unfinished store.
func (k *manifestWriter) markCreated() error {
	k.mu.Lock()
	k.manifest.Creating = false
	k.mu.Unlock()
	return k.write(true)
}

// writeFinal writes the manifest when the broker closes.
func (k *manifestWriter) writeFinal() error {
	if err := k.write(true); err != nil {
		return &events.Error{Op: "natslog.Close", Kind: events.ErrUnavailable, Subject: k.cfg.Dir, Err: err}
	}
	return nil
}
