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

// noLimit is a position beyond the end of every log.
const noLimit = events.Position(math.MaxUint64)

// Rebuild replays the log into a new generation and then replaces the old one. Apply and
// queries continue during the rebuild. Queries see the old rows until the new generation
// has caught up. The read model need not be open. If Rebuild fails, nothing has changed.
func (m *ReadModel) Rebuild(ctx context.Context, log events.Log) error {
	return RebuildAll(ctx, log, m)
}

// RebuildAll rebuilds several read models at the same time, each as [ReadModel.Rebuild]
// does, and reads the log once. If one fails, the others are still rebuilt. The models
// must be distinct.
func RebuildAll(ctx context.Context, log events.Log, models ...*ReadModel) error {
	receivers, errs := make([]*batchReceiver, len(models)), make([]error, len(models))
	batchSize := math.MaxInt
	var running sync.WaitGroup
	for i, m := range models {
		r := newBatchReceiver()
		receivers[i], batchSize = r, min(batchSize, m.cfg.Batch)
		running.Go(func() {
			defer r.unsubscribe()
			errs[i] = m.rebuild(ctx, log, r.receive())
		})
	}
	distribute(readBatches(ctx, log, 0, noLimit, batchSize), receivers)
	running.Wait()
	return errors.Join(errs...)
}

// rebuild builds a generation from in, the records of the log from the first one to a
// recent one, and makes it live.
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

// buildShadow builds a generation from records. If it fails, it deletes the generation.
func (m *ReadModel) buildShadow(ctx context.Context, host events.HostID, generation string, in iter.Seq2[[]feedRecord, error]) (*database, error) {
	store, err := m.open(ctx, m.files.path(generation))
	if err != nil {
		return nil, m.wrapError(errors.Join(err, m.files.remove(generation)))
	}
	cfg := m.cfg
	if generation == verifyGeneration {
		cfg.OnDeadLetter = func(DeadLetter) {} // the live generation has reported them
	}
	d := &database{model: m.model, cfg: &cfg, host: host, store: store}
	if err = d.create(ctx); err == nil {
		err = d.replay(ctx, in)
	}
	if err != nil {
		return nil, errors.Join(err, store.Close(), m.files.remove(generation))
	}
	return d, nil
}

// replay applies batches of records.
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

// swap applies to the shadow the records that were appended during the rebuild and makes
// it the live generation.
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
	// The new generation is live. The next Open deletes files that remain, so an error
	// below is not a failure of the rebuild.
	if old != nil {
		_ = old.store.Close()
	}
	_ = m.removeRetired(generation)
	return nil
}

// retireDelay is how long a replaced generation remains on disk. A reader opens the file
// shortly after it has read the link, and SQLite then opens the -wal by its name.
const retireDelay = time.Minute

// removeRetired deletes the generations that were replaced at least retireDelay ago. The
// caller holds rebuildMu.
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
