package projections

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"cortex/events"
)

// Projection is the definition of a read model. It holds no state: the same
// value may serve several databases at once.
type Projection interface {
	// Name is the model's file name: lower-case letters only.
	Name() string
	// Version goes up whenever Apply or Schema changes meaning; files of another
	// version are rebuilt.
	Version() int
	// Schema creates the tables. The names checkpoint and dead_letter are taken.
	Schema() string
	// Apply writes what the fact f of record r says. It depends on nothing but
	// its arguments and the tables, so that replay gives the same rows. An error
	// says that the fact cannot be applied; what was written for it is undone.
	Apply(tx *Tx, r events.Record, f events.Fact) error
}

// Store is an open SQLite database with one writer.
type Store interface {
	// Write runs f in a transaction, which is committed when f returns nil.
	Write(ctx context.Context, f func(*sql.Tx) error) error
	// Reader is a pool of connections that cannot write.
	Reader() *sql.DB
	// Close waits for what runs and closes everything.
	Close() error
}

// OpenStore opens the database at path, creating it when it does not exist.
type OpenStore func(ctx context.Context, path string) (Store, error)

// Config says where models live. Dir is required.
type Config struct {
	// Dir holds the files of every model.
	Dir string
	// Batch is how many facts a rebuild commits at once; 0 means [DefaultBatch].
	Batch int
	// Now is the clock of the checkpoint's time stamp, which is for people, and
	// of how long replaced files are kept.
	Now func() time.Time
	// OnDeadLetter is told about every fact that was put aside. It may be nil and must
	// not call the model.
	OnDeadLetter func(DeadLetter)
}

const (
	// DefaultBatch is how many facts are committed at once.
	DefaultBatch = 500
	// maxBatchBytes bounds the data of one batch in memory while rebuilding.
	maxBatchBytes = 16 << 20
	// applyAttempts is how often a fact is tried before it is put aside.
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

// DeadLetter is a fact that a projection could not apply.
type DeadLetter struct {
	Projection string          `json:"projection"`
	Position   events.Position `json:"position"`
	Event      events.ID       `json:"event"`
	Kind       events.Kind     `json:"kind"`
	Error      string          `json:"error"`
}

// String tells it in one line.
func (d DeadLetter) String() string {
	return fmt.Sprintf("read model %s cannot apply event %d (%s): %s", d.Projection, d.Position, d.Kind, d.Error)
}

// fingerprint changes with every character of the schema, so that a schema
// changed without a new version is noticed too.
func fingerprint(p Projection) string {
	sum := sha256.Sum256([]byte(checkpointSchema + p.Schema()))
	return hex.EncodeToString(sum[:8])
}

func validName(name string) error {
	if name == "" || len(name) > 32 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz") != "" {
		return &events.Error{Op: "projections.New", Kind: events.ErrInternal, Subject: fmt.Sprintf("%q", name), Err: fmt.Errorf("a read model's name is 1 to 32 lower-case letters")}
	}
	return nil
}
