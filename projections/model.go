package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"cortex/events"
)

// ReadModel keeps the file of one read model. Use [New], then [ReadModel.Open].
type ReadModel struct {
	model *dispatcher
	open  OpenStore
	cfg   Config
	files generationFiles

	rebuildMu     sync.Mutex           // one rebuild or verification at a time; guards retired
	retired       map[string]time.Time // when each generation was replaced
	applyMu       sync.Mutex           // one Apply or swap at a time; guards the checkpoint of live
	mu            sync.RWMutex         // guards the fields below; held for reading during queries
	live          *database
	rebuildReason string
}

// New returns the read model of a definition. It accesses no file.
func New(d Definition, open OpenStore, cfg Config) (*ReadModel, error) {
	model, err := newDispatcher(d)
	if err != nil {
		return nil, err
	}
	if cfg.Dir == "" || open == nil {
		return nil, &events.Error{Op: "projections.New", Kind: events.ErrInternal, Subject: "read model " + d.Name, Err: errors.New("the directory or the function to open a store is missing")}
	}
	cfg.setDefaults()
	return &ReadModel{model: model, open: open, cfg: cfg, files: generationFiles{cfg.Dir, d.Name}, retired: map[string]time.Time{}}, nil
}

// Name returns the name of the definition.
func (m *ReadModel) Name() string { return m.model.Name }

// Path returns the file that readers open: a link to the live generation.
func (m *ReadModel) Path() string { return m.files.link() }

// RebuildReason describes in one line why [ReadModel.Open] rebuilt the file. It is "" if
// Open did not rebuild it.
func (m *ReadModel) RebuildReason() string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.rebuildReason
}

// Open opens the file. It rebuilds a file that cannot be used, which takes time in
// proportion to the log; see [ReadModel.RebuildReason]. If the rebuild fails, the old
// file remains.
func (m *ReadModel) Open(ctx context.Context, log events.Log) error {
	if err := m.resetState(); err != nil {
		return m.wrapError(err)
	}
	live, current, reason, err := m.openLive(ctx, log)
	if err != nil {
		return err
	}
	if reason == "" {
		m.mu.Lock()
		m.live = live
		m.mu.Unlock()
		return m.wrapError(m.files.removeExcept(current))
	}
	if err := m.files.removeExcept(current); err != nil {
		return m.wrapError(err)
	}
	if err := m.Rebuild(ctx, log); err != nil {
		return fmt.Errorf("rebuild read model %s, which %s: %w", m.Name(), reason, err)
	}
	at, err := m.Checkpoint(ctx)
	if err != nil {
		return err
	}
	if at.Position > 0 || reason != reasonMissing {
		m.mu.Lock()
		m.rebuildReason = fmt.Sprintf("read model %s %s: rebuilt from %d events", m.Name(), reason, at.Position)
		m.mu.Unlock()
	}
	return nil
}

// resetState creates the directory and clears the state of an earlier Open.
func (m *ReadModel) resetState() error {
	m.rebuildMu.Lock()
	defer m.rebuildMu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.live != nil {
		return errors.New("already open")
	}
	m.rebuildReason, m.retired = "", map[string]time.Time{}
	return os.MkdirAll(m.cfg.Dir, 0o755)
}

func (m *ReadModel) wrapError(err error) error {
	if err == nil {
		return nil
	}
	kind := events.ErrUnavailable
	if errors.Is(err, events.ErrFull) { // a retry does not help
		kind = events.ErrFull
	}
	return &events.Error{Op: "projections", Kind: kind, Subject: "read model " + m.Name(), Err: err}
}

// Apply applies records of the log, in its order. It skips records at or before the
// checkpoint. The error is ErrCorrupt if the file is damaged, or if a record does not
// follow its predecessor; the records before that one are committed. The error is
// ErrUnavailable if a retry may succeed.
func (m *ReadModel) Apply(ctx context.Context, records []events.Record) error {
	m.applyMu.Lock()
	defer m.applyMu.Unlock()
	live, err := m.liveDatabase()
	if err != nil {
		return err
	}
	return live.apply(ctx, feedRecords(records))
}

func (m *ReadModel) liveDatabase() (*database, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.live == nil {
		return nil, m.wrapError(errors.New("not open"))
	}
	return m.live, nil
}

// Read runs f with a pool of read-only connections to the live generation. The pool is
// valid until f returns. f must not call Read.
func (m *ReadModel) Read(_ context.Context, f func(*sql.DB) error) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.live == nil {
		return m.wrapError(errors.New("not open"))
	}
	return f(m.live.store.Reader())
}

// Checkpoint returns the link of the last applied record, or the zero Link.
func (m *ReadModel) Checkpoint(ctx context.Context) (at events.Link, err error) {
	err = m.Read(ctx, func(db *sql.DB) error {
		c, err := readCheckpoint(ctx, db)
		at = c.link
		return err
	})
	if err != nil && ctx.Err() == nil {
		return events.Link{}, classifyWriteError(m.Name(), err)
	}
	return at, err
}

// Lag returns the number of records of the log that are not applied yet.
func (m *ReadModel) Lag(ctx context.Context, log events.Log) (uint64, error) {
	at, err := m.Checkpoint(ctx)
	if err != nil {
		return 0, err
	}
	head, err := log.Head(ctx)
	if err != nil {
		return 0, err
	}
	return uint64(max(head.Position, at.Position) - at.Position), nil
}

// DeadLetters lists the dead letters, oldest first.
func (m *ReadModel) DeadLetters(ctx context.Context) (out []DeadLetter, err error) {
	err = m.Read(ctx, func(db *sql.DB) error {
		rows, err := db.QueryContext(ctx, `SELECT position, event_id, kind, error FROM dead_letter ORDER BY position`)
		return WrapError(m.Name(), eachRow(rows, err, func(rows *sql.Rows) error {
			d := DeadLetter{Projection: m.Name()}
			err := rows.Scan(&d.Position, &d.Event, &d.Kind, &d.Error)
			out = append(out, d)
			return err
		}))
	})
	return out, err
}

// Close closes the file. The read model can be opened again.
func (m *ReadModel) Close() error {
	m.rebuildMu.Lock()
	defer m.rebuildMu.Unlock()
	m.applyMu.Lock()
	defer m.applyMu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.live == nil {
		return nil
	}
	err := m.live.store.Close()
	m.live = nil
	return m.wrapError(err)
}
