package history

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"cortex/events"
	"cortex/projections"
)

// FileVersion is the change of a path by one transaction.
type FileVersion struct {
	TransactionRow
	Before events.FileState `json:"before,omitzero"`
	After  events.FileState `json:"after,omitzero"`
}

// FileVersions returns the transactions that changed a path, oldest first.
func (r *Reader) FileVersions(ctx context.Context, path string) ([]FileVersion, error) {
	return projections.QueryAll(ctx, r.tables, scanFileVersion, `SELECT `+transactionColumns+`, f.before, f.after
		FROM files f JOIN transactions x ON x.number = f.number WHERE f.path = ? ORDER BY f.position`, path)
}

func scanFileVersion(rows *sql.Rows) (FileVersion, error) {
	var before, after string
	t, err := scanTransaction(rows, &before, &after)
	if err != nil {
		return FileVersion{}, err
	}
	v := FileVersion{TransactionRow: t}
	err = errors.Join(parseJSON(before, &v.Before), parseJSON(after, &v.After))
	return v, err
}

// InstalledBy returns the latest transaction that installed a package. ok is false if no
// recorded transaction did.
func (r *Reader) InstalledBy(ctx context.Context, name events.PackageName) (t TransactionRow, ok bool, err error) {
	found, err := r.queryTransactions(ctx, `SELECT `+transactionColumns+` FROM changes c JOIN transactions x ON x.number = c.number
		WHERE c.name = ? AND c.after_status = 'installed' AND c.before_status NOT IN ('installed', 'unpacked', 'half-configured', 'half-installed')
		ORDER BY c.position DESC LIMIT 1`, string(name))
	if err != nil || len(found) == 0 {
		return t, false, err
	}
	return found[0], true, nil
}

// PositionAt returns the end position of the last transaction that ended at or before a
// time, or 0.
func (r *Reader) PositionAt(ctx context.Context, at time.Time) (p events.Position, err error) {
	_, err = r.tables.QueryRow(ctx, `SELECT coalesce(max(ended_position), 0) FROM transactions WHERE ended_position > 0 AND ended_at <= ?`, []any{at.UnixNano()}, &p)
	return p, err
}
