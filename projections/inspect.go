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

// reasonMissing is a reason to rebuild. It is not reported while the log is empty.
const reasonMissing = "was missing"

// openLive opens the live generation. If reason is not empty, the file must be rebuilt and
// nothing is open.
func (m *ReadModel) openLive(ctx context.Context, log events.Log) (live *database, generation, reason string, err error) {
	generation, err = m.files.liveGeneration()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, "", reasonMissing, nil
	case err != nil:
		return nil, "", unreadableReason(err), nil
	}
	store, err := m.open(ctx, m.files.path(generation))
	if errors.Is(err, events.ErrFull) {
		return nil, "", "", m.wrapError(err) // a rebuild needs more space, not less
	}
	if err != nil {
		return nil, generation, unreadableReason(err), ctx.Err()
	}
	live = &database{model: m.model, cfg: &m.cfg, host: log.Host(), store: store}
	reason, err = m.reasonToRebuild(ctx, live, log)
	if err != nil || reason != "" {
		_ = store.Close() // the file is replaced or the open fails with err
		return nil, generation, reason, err
	}
	return live, generation, "", nil
}

// reasonToRebuild returns why a file cannot be used, or "".
func (m *ReadModel) reasonToRebuild(ctx context.Context, d *database, log events.Log) (reason string, err error) {
	c, err := readCheckpoint(ctx, d.store.Reader())
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return unreadableReason(err), nil
	case c.projection != m.model.Name:
		return "held read model " + c.projection, nil
	case c.version != m.model.Version:
		return fmt.Sprintf("had version %d, not %d", c.version, m.model.Version), nil
	case c.host != log.Host():
		return "belonged to another host", nil
	}
	if reason, err := checkPages(ctx, d.store.Reader()); reason != "" || err != nil {
		return reason, err
	}
	same, err := hasSchema(ctx, d.store.Reader(), m.model.Definition)
	switch {
	case err != nil:
		return unreadableReason(err), ctx.Err()
	case !same:
		return "had another schema", nil
	}
	return checkInLog(ctx, c.link, log)
}

func unreadableReason(err error) string { return "was unreadable (" + oneLine(err.Error()) + ")" }

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// maxCheckedPages bounds the size of a file that is checked page by page when it is
// opened: 64 MiB at 4 KiB a page, which takes about 0.2 seconds. Damage in a larger file
// is detected when the page is used.
const maxCheckedPages = 16 << 10

// checkPages returns why the pages of the file are malformed, or "".
func checkPages(ctx context.Context, db *sql.DB) (reason string, err error) {
	var pages int64
	if err := db.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil {
		return unreadableReason(err), ctx.Err()
	}
	if pages > maxCheckedPages {
		return "", nil
	}
	var result string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&result); err != nil {
		return unreadableReason(err), ctx.Err()
	}
	if result != "ok" {
		return "was damaged (" + oneLine(result) + ")", nil
	}
	return "", nil
}

// checkInLog returns why a checkpoint is not a position of the log, or "".
func checkInLog(ctx context.Context, at events.Link, log events.Log) (reason string, err error) {
	if at.Position == 0 {
		if !at.Hash.IsZero() {
			return "followed another log", nil
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
	return fmt.Sprintf("followed another log, at event %d", at.Position), ctx.Err()
}
