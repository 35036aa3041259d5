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

// ReadModel is a read model kept in a file. Use [New], then [ReadModel.Open].
type ReadModel struct {
	p     Projection
	open  OpenStore
	cfg   Config
	files generationFiles

	rebuildMu     sync.Mutex           // one rebuild or verification at a time; guards retired
	retired       map[string]time.Time // generations and when they were replaced
	applyMu       sync.Mutex           // one Apply or swap at a time; guards live's checkpoint
	mu            sync.RWMutex         // guards the fields below; read-held while live is read
	live          *database
	rebuildReason string
}

// New returns the model of a projection. It touches nothing.
func New(p Projection, open OpenStore, cfg Config) (*ReadModel, error) {
	if err := validName(p.Name()); err != nil {
		return nil, err
	}
	if cfg.Dir == "" || open == nil {
		return nil, &events.Error{Op: "projections.New", Kind: events.ErrInternal, Subject: p.Name(), Err: errors.New("a model needs a directory and an opener")}
	}
	cfg.setDefaults()
	return &ReadModel{p: p, open: open, cfg: cfg, files: generationFiles{cfg.Dir, p.Name()}, retired: map[string]time.Time{}}, nil
}

// Name is the projection's.
func (m *ReadModel) Name() string { return m.p.Name() }

// Path is the file that readers open: a link to the live generation.
func (m *ReadModel) Path() string { return m.files.link() }

// RebuildReason tells in one line that and why [ReadModel.Open] rebuilt the model; "" when
// it did not.
func (m *ReadModel) RebuildReason() string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.rebuildReason
}

// Open makes the model ready. A file that cannot be used is rebuilt from the
// log, which takes a while for a long one; see [ReadModel.RebuildReason]. When that fails
// the old file stays where it is.
func (m *ReadModel) Open(ctx context.Context, log events.Log) error {
	if err := m.resetState(); err != nil {
		return m.wrapError(err)
	}
	live, current, why, err := m.openLive(ctx, log)
	if err != nil {
		return err
	}
	if why == "" {
		m.mu.Lock()
		m.live = live
		m.mu.Unlock()
		return m.wrapError(m.files.removeExcept(current))
	}
	if err := m.files.removeExcept(current); err != nil {
		return m.wrapError(err)
	}
	if err := m.Rebuild(ctx, log); err != nil {
		return fmt.Errorf("rebuild read model %s, which %s: %w", m.Name(), why, err)
	}
	at, err := m.Checkpoint(ctx)
	if err != nil {
		return err
	}
	if at.Position > 0 || why != reasonMissing {
		m.mu.Lock()
		m.rebuildReason = fmt.Sprintf("read model %s %s: rebuilt from %d events", m.Name(), why, at.Position)
		m.mu.Unlock()
	}
	return nil
}

// resetState makes the directory and forgets what an earlier Open told.
func (m *ReadModel) resetState() error {
	m.rebuildMu.Lock()
	defer m.rebuildMu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.live != nil {
		return errors.New("is open already")
	}
	m.rebuildReason, m.retired = "", map[string]time.Time{}
	return os.MkdirAll(m.cfg.Dir, 0o755)
}

func (m *ReadModel) wrapError(err error) error {
	if err == nil {
		return nil
	}
	kind := events.ErrUnavailable
	if errors.Is(err, events.ErrFull) { // trying again does not help
		kind = events.ErrFull
	}
	return &events.Error{Op: "projections", Kind: kind, Subject: "read model " + m.Name(), Err: err}
}

// Apply brings records of the log in, in its order. Those already in are
// skipped. The error is ErrCorrupt when a record does not follow the one before
// it (what precedes it is in) or when the file is damaged; ErrUnavailable when
// trying again may help.
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
		return nil, m.wrapError(errors.New("is not open"))
	}
	return m.live, nil
}

// Read runs f with a pool of connections to the live generation, which stays
// open until f returns. f must not call Read.
func (m *ReadModel) Read(_ context.Context, f func(*sql.DB) error) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.live == nil {
		return m.wrapError(errors.New("is not open"))
	}
	return f(m.live.store.Reader())
}

// Checkpoint is the last record that is in; the zero Link when none is.
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

// Lag is how many records of the log are not in yet.
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

// DeadLetters lists the facts that were put aside, oldest first.
func (m *ReadModel) DeadLetters(ctx context.Context) (out []DeadLetter, err error) {
	err = m.Read(ctx, func(db *sql.DB) error {
		rows, err := db.QueryContext(ctx, `SELECT position, event_id, kind, error FROM dead_letter ORDER BY position`)
		if err != nil {
			return WrapError(m.Name(), err)
		}
		defer func() { _ = rows.Close() }() // its error is rows.Err
		for rows.Next() {
			d := DeadLetter{Projection: m.Name()}
			if err := rows.Scan(&d.Position, &d.Event, &d.Kind, &d.Error); err != nil {
				return WrapError(m.Name(), err)
			}
			out = append(out, d)
		}
		return WrapError(m.Name(), rows.Err())
	})
	return out, err
}

// Close closes the file. The model can be opened again.
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
