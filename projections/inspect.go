package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"cortex/events"
)

// reasonMissing is a reason to rebuild that is no news while the log is empty.
const reasonMissing = "was missing"

// openLive opens what there is. why is a reason to rebuild; then nothing is open.
func (m *ReadModel) openLive(ctx context.Context, log events.Log) (live *database, generation, why string, err error) {
	generation, err = m.files.liveGeneration()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, "", reasonMissing, nil
	case err != nil:
		return nil, "", unreadableReason(err), nil
	}
	store, err := m.open(ctx, m.files.path(generation))
	if errors.Is(err, events.ErrFull) {
		return nil, "", "", m.wrapError(err) // building it anew would need more room, not less
	}
	if err != nil {
		return nil, generation, unreadableReason(err), ctx.Err()
	}
	live = &database{p: m.p, cfg: &m.cfg, host: log.Host(), store: store}
	why, err = m.reasonToRebuild(ctx, live, log)
	if err != nil || why != "" {
		// The store is of no use any more; what closing it says is of none either.
		_ = store.Close()
		return nil, generation, why, err
	}
	return live, generation, "", nil
}

// reasonToRebuild says why a file cannot be used, or "".
func (m *ReadModel) reasonToRebuild(ctx context.Context, d *database, log events.Log) (why string, err error) {
	c, err := readCheckpoint(ctx, d.store.Reader())
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return unreadableReason(err), nil
	case c.projection != m.p.Name():
		return "held " + c.projection, nil
	case c.version != m.p.Version():
		return fmt.Sprintf("had version %d, not %d", c.version, m.p.Version()), nil
	case c.schema != fingerprint(m.p):
		return "had another schema", nil
	case c.host != log.Host():
		return "was of another host", nil
	}
	if why, err := checkPages(ctx, d.store.Reader()); why != "" || err != nil {
		return why, err
	}
	return checkInLog(ctx, c.link, log)
}

func unreadableReason(err error) string { return "was unreadable (" + oneLine(err.Error()) + ")" }

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// maxCheckedPages bounds the size of a file that is checked page by page when it
// is opened (at 4 KiB a page: 64 MiB, about a fifth of a second). Damage in a
// larger one is noticed when the page is used.
const maxCheckedPages = 16 << 10

// checkPages looks for pages that are not as SQLite writes them.
func checkPages(ctx context.Context, db *sql.DB) (why string, err error) {
	var pages int64
	if err := db.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil {
		return unreadableReason(err), ctx.Err()
	}
	if pages > maxCheckedPages {
		return "", nil
	}
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return unreadableReason(err), ctx.Err()
	}
	if verdict != "ok" {
		return "was damaged (" + oneLine(verdict) + ")", nil
	}
	return "", nil
}

// checkInLog says why a checkpoint is not a place in the log, or "".
func checkInLog(ctx context.Context, at events.Link, log events.Log) (why string, err error) {
	if at.Position == 0 {
		if !at.Hash.IsZero() {
			return "had followed another log", nil
		}
		return "", nil
	}
	head, err := log.Head(ctx)
	if err != nil {
		return "", fmt.Errorf("read the log's head: %w", err)
	}
	if at.Position > head.Position {
		return fmt.Sprintf("was ahead of the log, at event %d of %d", at.Position, head.Position), nil
	}
	for r, err := range log.Read(ctx, events.Query{After: at.Position - 1}) {
		if err != nil {
			return "", fmt.Errorf("read event %d: %w", at.Position, err)
		}
		if r.Link() == at {
			return "", nil
		}
		break
	}
	return fmt.Sprintf("had followed another log up to event %d", at.Position), ctx.Err()
}
