package projections

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"cortex/events"
)

// Store is an open SQLite database with one writer.
type Store interface {
	// Write runs f in a transaction and commits it if f returns nil.
	Write(ctx context.Context, f func(*sql.Tx) error) error
	// Reader returns a pool of read-only connections.
	Reader() *sql.DB
	// Close waits for running operations and closes all connections.
	Close() error
}

// OpenStore opens the database at path. It creates the file if it does not exist.
type OpenStore func(ctx context.Context, path string) (Store, error)

// Config configures a read model. Dir is required.
type Config struct {
	// Dir is the directory of the files of all read models.
	Dir string
	// Batch is the number of facts that a rebuild commits at once; 0 means
	// [DefaultBatch].
	Batch int
	// Now is the clock. It sets the checkpoint's time stamp, which is informational,
	// and decides when replaced files are deleted.
	Now func() time.Time
	// OnDeadLetter is called for every new dead letter. It may be nil. It must not
	// call the read model.
	OnDeadLetter func(DeadLetter)
}

const (
	// DefaultBatch is the number of facts that are committed at once.
	DefaultBatch = 500
	// maxBatchBytes bounds the data of one batch in memory during a rebuild.
	maxBatchBytes = 16 << 20
	// applyAttempts is the number of attempts before a fact becomes a dead letter.
	applyAttempts = 2
)

func (c *Config) setDefaults() {
	if c.Batch <= 0 {
		c.Batch = DefaultBatch
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.OnDeadLetter == nil {
		c.OnDeadLetter = func(DeadLetter) {}
	}
}

// DeadLetter is a fact that a read model could not apply.
type DeadLetter struct {
	Projection string          `json:"projection"`
	Position   events.Position `json:"position"`
	Event      events.ID       `json:"event"`
	Kind       events.Kind     `json:"kind"`
	Error      string          `json:"error"`
}

// String describes the dead letter in one line.
func (d DeadLetter) String() string {
	return fmt.Sprintf("read model %s cannot apply event %d (%s): %s", d.Projection, d.Position, d.Kind, d.Error)
}
