package projections

import (
	"context"
	"errors"
	"iter"
	"math"
	"sync"
	"time"

	"cortex/events"
)

// noLimit is a limit that no log reaches.
const noLimit = events.Position(math.MaxUint64)

// Rebuild replays the whole log into a new generation and puts it in the place
// of the old one. Apply and readers go on meanwhile; readers see the old rows
// until the new ones are at least as far. It serves Open, so the model need not
// be open. When it fails everything is as before.
func (m *ReadModel) Rebuild(ctx context.Context, log events.Log) error {
	return RebuildAll(ctx, log, m)
}

// RebuildAll rebuilds several models, each as [ReadModel.Rebuild] does, at once: the
// log is read once for all of them. One that fails does not keep the others from
// being rebuilt. No model may be given twice.
func RebuildAll(ctx context.Context, log events.Log, models ...*ReadModel) error {
	shares, errs := make([]*batchReceiver, len(models)), make([]error, len(models))
	most := math.MaxInt
	var running sync.WaitGroup
	for i, m := range models {
		s := newBatchReceiver()
		shares[i], most = s, min(most, m.cfg.Batch)
		running.Go(func() {
			defer s.unsubscribe()
			errs[i] = m.rebuild(ctx, log, s.receive())
		})
	}
	distribute(readBatches(ctx, log, 0, noLimit, most), shares)
	running.Wait()
	return errors.Join(errs...)
}

// rebuild makes a generation of what it is given, which is the log as it was not
// long ago.
func (m *ReadModel) rebuild(ctx context.Context, log events.Log, in iter.Seq2[[]feedRecord, error]) error {
	m.rebuildMu.Lock()
	defer m.rebuildMu.Unlock()
	generation, err := m.files.nextGeneration()
	if err != nil {
		return m.wrapError(err)
	}
	shadow, err := m.buildShadow(ctx, log.Host(), generation, in)
	if err != nil {
		return err
	}
	if err := m.swap(ctx, log, shadow, generation); err != nil {
		return errors.Join(err, shadow.store.Close(), m.files.remove(generation))
	}
	return nil
}

// buildShadow builds a generation of what it is given. On failure nothing is left of it.
func (m *ReadModel) buildShadow(ctx context.Context, host events.HostID, generation string, in iter.Seq2[[]feedRecord, error]) (*database, error) {
	store, err := m.open(ctx, m.files.path(generation))
	if err != nil {
		return nil, m.wrapError(errors.Join(err, m.files.remove(generation)))
	}
	cfg := m.cfg
	if generation == verifyGeneration {
		cfg.OnDeadLetter = func(DeadLetter) {} // the live model has told already
	}
	d := &database{p: m.p, cfg: &cfg, host: host, store: store}
	if err = d.create(ctx); err == nil {
		err = d.replay(ctx, in)
	}
	if err != nil {
		return nil, errors.Join(err, store.Close(), m.files.remove(generation))
	}
	return d, nil
}

// replay applies what it is given.
func (d *database) replay(ctx context.Context, in iter.Seq2[[]feedRecord, error]) error {
	for batch, err := range in {
		if err == nil {
			err = d.apply(ctx, batch)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// swap lets the shadow catch up with what was applied meanwhile and makes it the
// live generation.
func (m *ReadModel) swap(ctx context.Context, log events.Log, shadow *database, generation string) error {
	m.applyMu.Lock()
	defer m.applyMu.Unlock()
	if err := shadow.replay(ctx, readBatches(ctx, log, shadow.checkpoint.Position, noLimit, m.cfg.Batch)); err != nil {
		return err
	}
	if err := m.files.setLive(generation); err != nil {
		return m.wrapError(err)
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
	_ = m.removeRetired(generation)
	return nil
}

// retireDelay is how long a generation stays on disk after it was replaced. A reader
// that has read the link opens the file a moment later, and SQLite looks at its
// name once more when it opens the -wal beside it.
const retireDelay = time.Minute

// removeRetired removes the generations that were replaced long enough ago. The caller
// holds shadowing.
func (m *ReadModel) removeRetired(live string) error {
	all, err := m.files.generations()
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
		case now.Sub(since) >= retireDelay:
			errs = append(errs, m.files.remove(g))
			delete(m.retired, g)
		}
	}
	return errors.Join(errs...)
}
