package history

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"cortex/events"
	"cortex/projections"
)

// Show gives everything about one transaction; see [Reader.Resolve] for how it
// may be named.
func (r *Reader) Show(ctx context.Context, ref string) (TransactionDetail, error) {
	t, err := r.resolve(ctx, ref)
	if err != nil {
		return TransactionDetail{}, err
	}
	d := TransactionDetail{TransactionRow: t, Steps: []StepRow{}, PackageChanges: []events.PackageChange{}}
	for _, read := range []func(context.Context, *TransactionDetail) error{r.details, r.planChanges, r.steps, r.changes, r.files, r.settings} {
		if err := read(ctx, &d); err != nil {
			return TransactionDetail{}, err
		}
	}
	return d, nil
}

func (r *Reader) details(ctx context.Context, d *TransactionDetail) error {
	return r.each(ctx, `SELECT request, packages, options, approved_by, approved_how, approved_at, plan_base, plan_download_b, plan_disk_b,
		plan_steps, plan_residue, plan_notes, plan_risks, plan_undoes, lost, recovered, chosen FROM details WHERE number = ?`, []any{d.Number}, func(rows *sql.Rows) error {
		var packages, options, by, how, steps, residue, notes, risks, undoes, lost, recovered, chosen string
		var at int64
		plan := PlanRow{ID: d.PlanID}
		if err := rows.Scan(&d.RequestID, &packages, &options, &by, &how, &at, &plan.InventoryHash, &plan.DownloadBytes, &plan.DiskDelta, &steps, &residue, &notes, &risks, &undoes, &lost, &recovered, &chosen); err != nil {
			return err
		}
		if d.PlanID != "" {
			plan.Changes, plan.Steps = []events.PlannedChange{}, []events.Step{}
			d.Plan = &plan
		}
		if how != "" || by != "" {
			d.Approval = &Approval{How: how, At: timeFromNanos(at)}
			if err := parseJSON(by, &d.Approval.Actor); err != nil {
				return err
			}
		}
		return errors.Join(parseJSON(packages, &d.Packages), parseJSON(options, &d.Options), parseJSON(steps, &plan.Steps),
			parseJSON(residue, &plan.Residue), parseJSON(notes, &plan.Notes), parseJSON(risks, &plan.Risks), parseJSON(undoes, &plan.Undoes),
			parseJSON(lost, &d.NotStored), parseJSON(recovered, &d.Recovered), parseJSON(chosen, &d.Chosen))
	})
}

func (r *Reader) planChanges(ctx context.Context, d *TransactionDetail) error {
	if d.Plan == nil {
		return nil
	}
	return r.each(ctx, `SELECT name, arch, action, from_v, to_v, automatic, origin, download_b, essential, disk_b
		FROM plan_changes WHERE number = ? ORDER BY line`, []any{d.Number}, func(rows *sql.Rows) error {
		var c events.PlannedChange
		if err := rows.Scan(&c.Name, &c.Arch, &c.Action, &c.From, &c.To, &c.Automatic, &c.Origin, &c.DownloadBytes, &c.Essential, &c.DiskDelta); err != nil {
			return err
		}
		d.Plan.Changes = append(d.Plan.Changes, c)
		return nil
	})
}

func (r *Reader) steps(ctx context.Context, d *TransactionDetail) error {
	return r.each(ctx, `SELECT step, op, argv, started_at, ended_at, ok, exit_code, output, failure, duration_ms
		FROM steps WHERE number = ? ORDER BY step`, []any{d.Number}, func(rows *sql.Rows) error {
		s := StepRow{Argv: []string{}}
		var argv, failure string
		var started, ended int64
		if err := rows.Scan(&s.Index, &s.Op, &argv, &started, &ended, &s.OK, &s.ExitCode, &s.Output, &failure, &s.DurationMs); err != nil {
			return err
		}
		s.StartedAt, s.EndedAt = timeFromNanos(started), timeFromNanos(ended)
		err := errors.Join(parseJSON(argv, &s.Argv), parseJSON(failure, &s.Failure))
		d.Steps = append(d.Steps, s)
		return err
	})
}

func (r *Reader) changes(ctx context.Context, d *TransactionDetail) error {
	return r.each(ctx, `SELECT name, arch, before_version, before_want, before_flag, before_status, before_auto,
		after_version, after_want, after_flag, after_status, after_auto
		FROM changes WHERE number = ? ORDER BY name, arch`, []any{d.Number}, func(rows *sql.Rows) error {
		var c events.PackageChange
		b, a := &c.Before, &c.After
		if err := rows.Scan(&c.Name, &c.Arch, &b.Version, &b.Want, &b.Flag, &b.Status, &b.Auto, &a.Version, &a.Want, &a.Flag, &a.Status, &a.Auto); err != nil {
			return err
		}
		d.PackageChanges = append(d.PackageChanges, c)
		return nil
	})
}

func (r *Reader) files(ctx context.Context, d *TransactionDetail) error {
	return r.each(ctx, `SELECT path, before, after FROM files WHERE number = ? ORDER BY path`, []any{d.Number}, func(rows *sql.Rows) error {
		var c events.FileChange
		var before, after string
		if err := rows.Scan(&c.Path, &before, &after); err != nil {
			return err
		}
		err := errors.Join(parseJSON(before, &c.Before), parseJSON(after, &c.After))
		d.FileChanges = append(d.FileChanges, c)
		return err
	})
}

func (r *Reader) settings(ctx context.Context, d *TransactionDetail) error {
	return r.each(ctx, `SELECT kind, name, before, after FROM settings WHERE number = ? ORDER BY kind, name`, []any{d.Number}, func(rows *sql.Rows) error {
		var c events.SettingChange
		err := rows.Scan(&c.Kind, &c.Name, &c.Before, &c.After)
		d.SettingChanges = append(d.SettingChanges, c)
		return err
	})
}

// FileVersion is what one transaction made of a path.
type FileVersion struct {
	TransactionRow
	Before events.FileState `json:"before,omitzero"`
	After  events.FileState `json:"after,omitzero"`
}

// FileVersions gives the transactions that changed a path, the oldest first.
func (r *Reader) FileVersions(ctx context.Context, path string) ([]FileVersion, error) {
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	out := []FileVersion{}
	err := r.each(ctx, `SELECT `+transactionColumns+`, f.before, f.after FROM files f JOIN transactions x ON x.number = f.number
		WHERE f.path = ? ORDER BY f.position`, []any{path}, func(rows *sql.Rows) error {
		var before, after string
		t, err := scanTransaction(rows, &before, &after)
		if err != nil {
			return err
		}
		v := FileVersion{TransactionRow: t}
		err = errors.Join(parseJSON(before, &v.Before), parseJSON(after, &v.After))
		out = append(out, v)
		return err
	})
	return out, err
}

// InstalledBy gives the latest transaction that installed a package; ok is false when
// none on record did.
func (r *Reader) InstalledBy(ctx context.Context, name events.PackageName) (t TransactionRow, ok bool, err error) {
	found, err := r.queryTransactions(ctx, `SELECT `+transactionColumns+` FROM changes c JOIN transactions x ON x.number = c.number
		WHERE c.name = ? AND c.after_status = 'installed' AND c.before_status NOT IN ('installed', 'unpacked', 'half-configured', 'half-installed')
		ORDER BY c.position DESC LIMIT 1`, string(name))
	if err != nil || len(found) == 0 {
		return t, false, err
	}
	return found[0], true, nil
}

// PositionAt is the end of the last transaction that ran before a time; 0 when
// none did.
func (r *Reader) PositionAt(ctx context.Context, at time.Time) (p events.Position, err error) {
	if err := r.check(ctx); err != nil {
		return 0, err
	}
	err = r.db.QueryRowContext(ctx, `SELECT coalesce(max(ended_position), 0) FROM transactions WHERE ended_position > 0 AND ended_at <= ?`, at.UnixNano()).Scan(&p)
	return p, projections.WrapError(Name, err)
}

// Position is how far the read model has come.
func (r *Reader) Position(ctx context.Context) (p events.Position, err error) {
	if err := r.check(ctx); err != nil {
		return 0, err
	}
	err = r.db.QueryRowContext(ctx, `SELECT position FROM checkpoint`).Scan(&p)
	return p, projections.WrapError(Name, err)
}
