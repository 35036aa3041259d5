package apt

import (
	"context"
	"errors"
	"slices"

	"cortex/events"
)

var errNoPlan = errors.New("apt reported no plan")

// Simulate returns the exact plan of the steps and changes nothing: apt's own plan, and
// the effect of marks and holds. A plan without changes has no steps. At most one step
// of a plan may need apt's planning.
func (m *Machine) Simulate(ctx context.Context, steps []events.Step) (events.Plan, error) {
	native, err := m.NativeArch(ctx)
	if err != nil {
		return events.Plan{}, err
	}
	now, err := m.Inventory(ctx)
	if err != nil {
		return events.Plan{}, err
	}
	steps = dropNativeArch(steps, now, native)
	f := newForecast(now, native)
	planned := false
	for _, s := range steps {
		if err := checkStep(s); err != nil {
			return events.Plan{}, err
		}
		if needsNoPlanning(s.Op) {
			f.applyUnplanned(s)
			continue
		}
		if planned {
			return events.Plan{}, &events.Error{Op: "apt.Simulate", Kind: events.ErrInternal, Err: errors.New("more than one step needs apt's planning")}
		}
		planned = true
		a, err := m.askApt(ctx, s)
		if err != nil {
			return events.Plan{}, err
		}
		if err := f.applyApt(s, a); err != nil {
			return events.Plan{}, err
		}
	}
	plan := events.Plan{Changes: f.changes(), DownloadBytes: f.download}
	if plan.Empty() {
		return plan, nil
	}
	plan.Steps = steps
	plan.DiskDelta, err = m.describe(ctx, plan.Changes, native)
	return plan, err
}

// dropNativeArch removes the native architecture from names: dpkg does not find a
// package of architecture "all" under the native one. A name of which a package of
// another architecture is installed keeps it.
func dropNativeArch(steps []events.Step, now events.Inventory, native events.Architecture) []events.Step {
	foreign := map[events.PackageName]bool{}
	for k := range now {
		foreign[k.Name] = foreign[k.Name] || k.Arch != native
	}
	out := slices.Clone(steps)
	for i := range out {
		out[i].Targets = slices.Clone(out[i].Targets)
		for j, t := range out[i].Targets {
			if t.Arch == native && !foreign[t.Name] {
				out[i].Targets[j].Arch = ""
			}
		}
	}
	return out
}
