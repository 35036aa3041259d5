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

// database is one file of a read model: live or a shadow. It is used by one
// goroutine at a time.
type database struct {
	p               Projection
	cfg             *Config
	host            events.HostID
	store           Store
	checkpoint      events.Link // as committed; see known
	checkpointKnown bool        // whether at is what the file says
}

// create makes the tables of an empty file.
func (d *database) create(ctx context.Context) error {
	err := d.store.Write(ctx, func(tx *sql.Tx) error {
		for _, script := range []string{checkpointSchema, d.p.Schema(), fmt.Sprintf("PRAGMA user_version = %d", d.p.Version())} {
			if _, err := tx.ExecContext(ctx, script); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO checkpoint VALUES (1, ?, ?, ?, ?, 0, '', ?, ?)`,
			d.p.Name(), d.p.Version(), fingerprint(d.p), string(d.host), events.Hash{}.String(), d.timestamp())
		return err
	})
	if err != nil {
		return classifyWriteError(d.p.Name(), fmt.Errorf("create tables: %w", err))
	}
	d.checkpoint, d.checkpointKnown = events.Link{}, true
	return nil
}

func (d *database) timestamp() string { return d.cfg.Now().UTC().Format(time.RFC3339) }

// checkpoint is the row of that name.
type checkpoint struct {
	projection string
	version    int
	schema     string
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
	err := q.QueryRowContext(ctx, `SELECT projection, version, schema, host, position, event_id, hash FROM checkpoint WHERE id = 1`).
		Scan(&c.projection, &c.version, &c.schema, &c.host, &c.link.Position, &c.link.ID, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return c, fmt.Errorf("%w: it has no checkpoint", errUnreadable)
	}
	if err != nil {
		return c, err
	}
	if c.link.Hash, err = events.ParseHash(hash); err != nil {
		return c, fmt.Errorf("%w: its checkpoint is malformed", errUnreadable)
	}
	return c, nil
}

// loadCheckpoint reads the checkpoint when it is not known.
func (d *database) loadCheckpoint(ctx context.Context) error {
	if d.checkpointKnown {
		return nil
	}
	c, err := readCheckpoint(ctx, d.store.Reader())
	if err != nil {
		return classifyWriteError(d.p.Name(), err)
	}
	d.checkpoint, d.checkpointKnown = c.link, true
	return nil
}

// apply brings records in. What is already in is skipped; what follows a fault
// in the log is not touched.
func (d *database) apply(ctx context.Context, records []feedRecord) error {
	if err := d.loadCheckpoint(ctx); err != nil {
		return err
	}
	good, alarm := d.selectFollowing(records)
	if len(good) > 0 {
		if err := d.write(ctx, good); err != nil {
			d.checkpointKnown = false // it may have been committed all the same
			return classifyWriteError(d.p.Name(), err)
		}
	}
	return alarm
}

// selectFollowing gives the records that follow the checkpoint, up to the first that does
// not follow the one before it.
func (d *database) selectFollowing(records []feedRecord) (good []feedRecord, alarm error) {
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
				return nil, fail(r, "is not the one that read model "+d.p.Name()+" has applied")
			}
			continue
		case r.Position <= at.Position:
			return nil, fail(r, "came out of order")
		case r.Host != d.host:
			return good, fail(r, "is of host "+string(r.Host))
		}
		if err := r.verifyFollows(at); err != nil {
			return good, err
		}
		good = records[i-len(good) : i+1]
		at = r.Link()
	}
	return good, nil
}

// write commits records and their checkpoint. The first attempt assumes that
// every record can be applied; only when one cannot is each put into a savepoint
// of its own.
func (d *database) write(ctx context.Context, records []feedRecord) error {
	blamed := false
	err := d.commit(ctx, records, func(tx *Tx) error {
		for _, r := range records {
			if err := d.applyOne(tx, r); err != nil {
				blamed = ctx.Err() == nil && isRecordError(err)
				return err
			}
		}
		return nil
	})
	if !blamed {
		return err
	}
	var dead []DeadLetter
	err = d.commit(ctx, records, func(tx *Tx) error {
		dead = dead[:0]
		for _, r := range records {
			why, err := d.applyInSavepoint(ctx, tx, r)
			if err != nil {
				return err
			}
			if why != nil {
				dead = append(dead, DeadLetter{d.p.Name(), r.Position, r.ID, r.Kind, why.Error()})
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
		// The condition makes a second writer, or a file that was put in the
		// place of ours, fail instead of being counted twice.
		n, err := tx.Exec(`UPDATE checkpoint SET position = ?, event_id = ?, hash = ?, updated_at = ? WHERE id = 1 AND position = ?`,
			int64(last.Position), string(last.ID), last.Hash.String(), d.timestamp(), int64(d.checkpoint.Position))
		if err == nil && n != 1 {
			err = &events.Error{Op: "projections.Apply", Kind: events.ErrConflict, Subject: "read model " + d.p.Name(), Err: errors.New("its checkpoint was moved by somebody else")}
		}
		return err
	})
	if err != nil {
		return err
	}
	d.checkpoint = last
	return nil
}

// applyInSavepoint applies a record in a savepoint. When it cannot be applied it is put
// aside and why says so; err is any other failure.
func (d *database) applyInSavepoint(ctx context.Context, tx *Tx, r feedRecord) (why, err error) {
	if _, err := tx.Exec("SAVEPOINT record"); err != nil {
		return nil, err
	}
	for range applyAttempts {
		if why = d.applyOne(tx, r); why == nil {
			break
		}
		if ctx.Err() != nil || !isRecordError(why) {
			return nil, why
		}
		if _, err := tx.Exec("ROLLBACK TO record"); err != nil {
			return nil, err
		}
	}
	if why != nil {
		if _, err := tx.Exec(`INSERT INTO dead_letter VALUES (?, ?, ?, ?)`, int64(r.Position), string(r.ID), string(r.Kind), events.Tail(why.Error(), events.MaxReasonBytes)); err != nil {
			return nil, err
		}
	}
	_, err = tx.Exec("RELEASE record")
	return why, err
}

// applyOne turns a panic of a projection into an error, so that one fact cannot
// take the process down again and again.
func (d *database) applyOne(tx *Tx, r feedRecord) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	f, err := r.decode()
	if err != nil {
		return err
	}
	return d.p.Apply(tx, r.Record, f)
}
