package projections

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"cortex/events"
)

// wholeLog is a limit that no log reaches.
const wholeLog = events.Position(math.MaxUint64)

// Rebuild replays the whole log into a new generation and puts it in the place
// of the old one. Apply and readers go on meanwhile; readers see the old rows
// until the new ones are at least as far. It serves Open, so the model need not
// be open. When it fails everything is as before.
func (m *Model) Rebuild(ctx context.Context, log events.Log) error {
	m.shadowing.Lock()
	defer m.shadowing.Unlock()
	generation, err := m.files.next()
	if err != nil {
		return m.fail(err)
	}
	shadow, err := m.shadow(ctx, log, generation, wholeLog)
	if err != nil {
		return err
	}
	if err := m.swap(ctx, log, shadow, generation); err != nil {
		return errors.Join(err, shadow.store.Close(), m.files.remove(generation))
	}
	return nil
}

// shadow builds a generation up to a position. On failure nothing is left of it.
func (m *Model) shadow(ctx context.Context, log events.Log, generation string, until events.Position) (*database, error) {
	store, err := m.open(ctx, m.files.path(generation))
	if err != nil {
		return nil, m.fail(errors.Join(err, m.files.remove(generation)))
	}
	cfg := m.cfg
	if generation == verifyGeneration {
		cfg.Report = func(DeadLetter) {} // the live model has told already
	}
	d := &database{p: m.p, cfg: &cfg, host: log.Host(), store: store}
	if err = d.create(ctx); err == nil {
		err = d.replay(ctx, log, until)
	}
	if err != nil {
		return nil, errors.Join(err, store.Close(), m.files.remove(generation))
	}
	return d, nil
}

// replay applies the log from the checkpoint up to a position, or to its head.
func (d *database) replay(ctx context.Context, log events.Log, until events.Position) error {
	batch := make([]events.Record, 0, d.cfg.Batch)
	size := 0
	flush := func() error {
		err := d.apply(ctx, batch)
		batch, size = batch[:0], 0
		return err
	}
	if d.at.Position >= until {
		return nil
	}
	for r, err := range log.Read(ctx, events.Query{After: d.at.Position}) {
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		batch, size = append(batch, r), size+len(r.Data)
		if len(batch) == d.cfg.Batch || size >= maxBatchBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		if r.Position >= until {
			break
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return flush()
}

// swap lets the shadow catch up with what was applied meanwhile and makes it the
// live generation.
func (m *Model) swap(ctx context.Context, log events.Log, shadow *database, generation string) error {
	m.writing.Lock()
	defer m.writing.Unlock()
	if err := shadow.replay(ctx, log, wholeLog); err != nil {
		return err
	}
	if err := m.files.point(generation); err != nil {
		return m.fail(err)
	}
	m.mu.Lock()
	old := m.live
	m.live = shadow
	m.mu.Unlock()
	// From here the new generation is live; what is left over is cleared away by
	// the next Open at the latest, so a failure to do so is no failure to rebuild.
	if old != nil {
		_ = old.store.Close()
	}
	_ = m.retire(generation)
	return nil
}

// grace is how long a generation stays on disk after it was replaced. A reader
// that has read the link opens the file a moment later, and SQLite looks at its
// name once more when it opens the -wal beside it.
const grace = time.Minute

// retire removes the generations that were replaced long enough ago. The caller
// holds shadowing.
func (m *Model) retire(live string) error {
	all, err := m.files.all()
	if err != nil {
		return err
	}
	now := m.cfg.Now()
	var errs []error
	for _, g := range all {
		since, known := m.retired[g]
		switch {
		case g == live:
		case !known:
			m.retired[g] = now
		case now.Sub(since) >= grace:
			errs = append(errs, m.files.remove(g))
			delete(m.retired, g)
		}
	}
	return errors.Join(errs...)
}
