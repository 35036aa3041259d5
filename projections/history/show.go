package history

import (
	"context"
	"database/sql"
	"errors"

	"cortex/events"
)

// Show returns everything about one transaction. [Reader.Resolve] defines the forms of
// ref.
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
	return r.tables.Each(ctx, `SELECT request, packages, options, approved_by, approved_how, approved_at, plan_base, plan_download_b, plan_disk_b,
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
			d.Approval = &ApprovalRow{How: how, At: timeFromNanos(at)}
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
	return r.tables.Each(ctx, `SELECT name, arch, action, from_v, to_v, automatic, origin, download_b, essential, disk_b
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
	return r.tables.Each(ctx, `SELECT step, op, argv, started_at, ended_at, ok, exit_code, output, failure, duration_ms
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
	return r.tables.Each(ctx, `SELECT name, arch, before_version, before_want, before_flag, before_status, before_auto,
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
	return r.tables.Each(ctx, `SELECT path, before, after FROM files WHERE number = ? ORDER BY path`, []any{d.Number}, func(rows *sql.Rows) error {
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
	return r.tables.Each(ctx, `SELECT kind, name, before, after FROM settings WHERE number = ? ORDER BY kind, name`, []any{d.Number}, func(rows *sql.Rows) error {
		var c events.SettingChange
		err := rows.Scan(&c.Kind, &c.Name, &c.Before, &c.After)
		d.SettingChanges = append(d.SettingChanges, c)
		return err
	})
}
