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

// manifestWriteInterval is how long the keeper gathers appends before it writes the manifest.
const manifestWriteInterval = 20 * time.Millisecond

// manifest is what is known about the store outside of the store: what must be
// found there at the next start.
type manifest struct {
	Format   int                  `json:"format"`
	Creating bool                 `json:"creating,omitempty"` // nobody has been told of any event yet
	Cluster  bool                 `json:"cluster,omitempty"`  // a cluster keeps the log, not files of ours
	Host     events.HostID        `json:"host"`
	MaxBytes int64                `json:"max_bytes"`
	Streams  map[string]time.Time `json:"streams"` // name → when it was created
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

// readManifest gives nil when there is none.
func readManifest(dir string) (*manifest, error) {
	path := manifestPath(dir)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // absence is an answer
	}
	if err != nil {
		return nil, &events.Error{Op: "natslog.readManifest", Kind: events.ErrUnavailable, Subject: path, Err: err}
	}
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, corruptError(path, fmt.Errorf("not readable as a manifest: %w", err))
	}
	if m.Format != manifestFormat {
		return nil, corruptError(path, fmt.Errorf("its format is %d, this program knows %d", m.Format, manifestFormat))
	}
	if err := m.Host.Validate(); err != nil {
		return nil, corruptError(path, fmt.Errorf("host: %w", err))
	}
	return &m, nil
}

// writeManifest replaces the manifest atomically; syncDir also makes the
// replacement itself durable.
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

// manifestWriter writes the manifest behind the appends: it lags by milliseconds, and
// an older manifest is true as well, for a log only grows.
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

// recordHead remembers the log's new head.
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
			k.cfg.Logger.Warn("manifest not written; it will be after the next event", "error", err)
		}
		pause.Reset(manifestWriteInterval)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
	}
}

// write writes what is known now. Writers take turns, so that a newer manifest
// is never replaced by an older one.
func (k *manifestWriter) write(syncDir bool) error {
	k.writing.Lock()
	defer k.writing.Unlock()
	k.mu.Lock()
	m := k.manifest
	k.mu.Unlock()
	return writeManifest(k.cfg.Dir, m, syncDir)
}

// markCreated declares that the store is made.
func (k *manifestWriter) markCreated() error {
	k.mu.Lock()
	k.manifest.Creating = false
	k.mu.Unlock()
	return k.write(true)
}

// writeFinal writes the manifest for the last time.
func (k *manifestWriter) writeFinal() error {
	if err := k.write(true); err != nil {
		return &events.Error{Op: "natslog.Close", Kind: events.ErrUnavailable, Subject: k.cfg.Dir, Err: err}
	}
	return nil
}
