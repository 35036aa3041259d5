package projections

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"cortex/events"
)

//go:embed schema.sql
var checkpointSchema string

// database is one file of a read model: the live one or a shadow. One goroutine uses
// it at a time.
type database struct {
	model           *dispatcher
	cfg             *Config
	host            events.HostID
	store           Store
	checkpoint      events.Link // the committed one, if checkpointKnown
	checkpointKnown bool        // whether checkpoint is the one in the file
}

// create creates the tables of an empty file.
func (d *database) create(ctx context.Context) error {
	err := d.store.Write(ctx, func(tx *sql.Tx) error {
		for _, script := range []string{checkpointSchema, d.model.Schema, fmt.Sprintf("PRAGMA user_version = %d", d.model.Version)} {
			if _, err := tx.ExecContext(ctx, script); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO checkpoint VALUES (1, ?, ?, ?, ?, 0, '', ?, ?)`,
			d.model.Name, d.model.Version, d.model.fingerprint(), string(d.host), events.Hash{}.String(), d.timestamp())
		return err
	})
	if err != nil {
		return classifyWriteError(d.model.Name, fmt.Errorf("create tables: %w", err))
	}
	d.checkpoint, d.checkpointKnown = events.Link{}, true
	return nil
}

func (d *database) timestamp() string { return d.cfg.Now().UTC().Format(time.RFC3339) }

// checkpoint is the row of the table of that name.
type checkpoint struct {
	projection string
	version    int
	host       events.HostID
	link       events.Link
}

// querier is a pool, a connection or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func readCheckpoint(ctx context.Context, q querier) (checkpoint, error) {
	var c checkpoint
	var hash string
	err := q.QueryRowContext(ctx, `SELECT projection, version, host, position, event_id, hash FROM checkpoint WHERE id = 1`).
		Scan(&c.projection, &c.version, &c.host, &c.link.Position, &c.link.ID, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return c, fmt.Errorf("%w: the checkpoint is missing", errUnreadable)
	}
	if err != nil {
		return c, err
	}
	if c.link.Hash, err = events.ParseHash(hash); err != nil {
		return c, fmt.Errorf("%w: the checkpoint is malformed", errUnreadable)
	}
	return c, nil
}

// loadCheckpoint reads the checkpoint unless it is known.
func (d *database) loadCheckpoint(ctx context.Context) error {
	if d.checkpointKnown {
		return nil
	}
	c, err := readCheckpoint(ctx, d.store.Reader())
	if err != nil {
		return classifyWriteError(d.model.Name, err)
	}
	d.checkpoint, d.checkpointKnown = c.link, true
	return nil
}

// apply applies records. It skips records at or before the checkpoint, and stops before
// the first record that does not follow its predecessor.
func (d *database) apply(ctx context.Context, records []feedRecord) error {
	if err := d.loadCheckpoint(ctx); err != nil {
		return err
	}
	good, fault := d.selectFollowing(records)
	if len(good) > 0 {
		if err := d.write(ctx, good); err != nil {
			d.checkpointKnown = false // the commit may have succeeded in spite of the error
			return classifyWriteError(d.model.Name, err)
		}
	}
	return fault
}

// selectFollowing returns the records that follow the checkpoint, up to the first that
// does not follow its predecessor.
func (d *database) selectFollowing(records []feedRecord) (good []feedRecord, fault error) {
	at := d.checkpoint
	fail := func(r feedRecord, why string) error {
		return &events.Error{Op: "projections.Apply", Kind: events.ErrCorrupt, Subject: fmt.Sprintf("event %d", r.Position), Err: errors.New(why)}
	}
	for i, r := range records {
		switch {
		case r.Position < d.checkpoint.Position:
			continue
		case r.Position == d.checkpoint.Position:
			if r.Hash != d.checkpoint.Hash {
				return nil, fail(r, "differs from the event that read model "+d.model.Name+" applied at this position")
			}
			continue
		case r.Position <= at.Position:
			return nil, fail(r, "is out of order")
		case r.Host != d.host:
			return good, fail(r, "belongs to host "+string(r.Host))
		}
		if err := r.verifyFollows(at); err != nil {
			return good, err
		}
		good = records[i-len(good) : i+1]
		at = r.Link()
	}
	return good, nil
}

// write commits records and their checkpoint. The first attempt assumes that every
// record can be applied. If one cannot, the second attempt puts each record into a
// savepoint of its own.
func (d *database) write(ctx context.Context, records []feedRecord) error {
	recordFailed := false
	err := d.commit(ctx, records, func(tx *Tx) error {
		for _, r := range records {
			if err := d.applyOne(tx, r); err != nil {
				recordFailed = ctx.Err() == nil && isRecordError(err)
				return err
			}
		}
		return nil
	})
	if !recordFailed {
		return err
	}
	var dead []DeadLetter
	err = d.commit(ctx, records, func(tx *Tx) error {
		dead = dead[:0]
		for _, r := range records {
			reason, err := d.applyInSavepoint(ctx, tx, r)
			if err != nil {
				return err
			}
			if reason != nil {
				dead = append(dead, DeadLetter{d.model.Name, r.Position, r.ID, r.Kind, reason.Error()})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, letter := range dead {
		d.cfg.OnDeadLetter(letter)
	}
	return nil
}

func (d *database) commit(ctx context.Context, records []feedRecord, f func(*Tx) error) error {
	last := records[len(records)-1].Link()
	err := d.store.Write(ctx, func(sqlTx *sql.Tx) error {
		tx := newTx(sqlTx)
		if err := f(tx); err != nil {
			return err
		}
		// The condition detects a second writer and a replaced file. Without it a
		// batch could be applied twice.
		n, err := tx.Exec(`UPDATE checkpoint SET position = ?, event_id = ?, hash = ?, updated_at = ? WHERE id = 1 AND position = ?`,
			int64(last.Position), string(last.ID), last.Hash.String(), d.timestamp(), int64(d.checkpoint.Position))
		if err == nil && n != 1 {
			err = &events.Error{Op: "projections.Apply", Kind: events.ErrConflict, Subject: "read model " + d.model.Name, Err: errors.New("another process moved the checkpoint")}
		}
		return err
	})
	if err != nil {
		return err
	}
	d.checkpoint = last
	return nil
}

// applyInSavepoint applies a record in a savepoint. If the record cannot be applied, it
// becomes a dead letter and reason is why; err is any other failure.
func (d *database) applyInSavepoint(ctx context.Context, tx *Tx, r feedRecord) (reason, err error) {
	if _, err := tx.Exec("SAVEPOINT record"); err != nil {
		return nil, err
	}
	for range applyAttempts {
		if reason = d.applyOne(tx, r); reason == nil {
			break
		}
		if ctx.Err() != nil || !isRecordError(reason) {
			return nil, reason
		}
		if _, err := tx.Exec("ROLLBACK TO record"); err != nil {
			return nil, err
		}
	}
	if reason != nil {
		if _, err := tx.Exec(`INSERT INTO dead_letter VALUES (?, ?, ?, ?)`, int64(r.Position), string(r.ID), string(r.Kind), events.Tail(reason.Error(), events.MaxReasonBytes)); err != nil {
			return nil, err
		}
	}
	_, err = tx.Exec("RELEASE record")
	return reason, err
}

// applyOne runs the handlers of one record. It turns a panic into an error, so that one
// fact cannot crash the process on every start.
func (d *database) applyOne(tx *Tx, r feedRecord) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return d.model.apply(tx, r)
}
