package broker

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// names makes the names of a stream's new files durable. The server syncs what it
// writes before it answers, but the name of a file that it begins only minutes
// later; without it, the loss of power could take the whole file.
type names struct {
	dir string

	mu   sync.Mutex
	seen time.Time // when the directory had last changed, as of the last sync
}

// tick is more than the distance of two times that a file system can tell apart.
const tick = 50 * time.Millisecond

// newNames gives nil, of which nothing has to be settled, where servers of others
// keep the log.
func newNames(cfg Config, stream string) *names {
	if cfg.Cluster != nil {
		return nil
	}
	return &names{dir: filepath.Join(cfg.streamDir(stream), "msgs")}
}

// settle returns once every name in the directory is durable. It costs one look
// when nothing changed.
func (n *names) settle() error {
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	info, err := os.Stat(n.dir)
	if err != nil {
		return fmt.Errorf("look at the log's files: %w", err)
	}
	changed := info.ModTime()
	if changed.Equal(n.seen) {
		return nil
	}
	if err := syncDirectory(n.dir); err != nil {
		return fmt.Errorf("sync the names of the log's files: %w", err)
	}
	if time.Since(changed).Abs() > tick { // another change could bear the same time
		n.seen = changed
	}
	return nil
}
