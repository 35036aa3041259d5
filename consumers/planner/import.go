package planner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cortex/events"
)

// maxMissingNamed bounds the unavailable versions that an error names.
const maxMissingNamed = 8

// planImport plans the import of a manifest: one run of apt for the packages that are
// missing or have another version, then marks and holds.
func (p *Planner) planImport(ctx context.Context, in events.Intent, now events.Inventory) (events.Plan, error) {
	if len(in.Manifest.Files) > 0 {
		return p.planImportFiles(ctx, in.Manifest.Files)
	}
	native, err := p.machine.NativeArch(ctx)
	if err != nil {
		return events.Plan{}, err
	}
	w := importPlan{Planner: p, manifest: *in.Manifest, inventory: now, native: native}
	install, err := w.installStep(ctx)
	if err != nil {
		return events.Plan{}, err
	}
	install.NoRecommends, install.AllowHeld = in.Options.NoRecommends, in.Options.AllowHeld
	var steps []events.Step
	for _, s := range []events.Step{w.unholdStep(), install, w.manualStep(), w.holdStep(install)} {
		if len(s.Targets) > 0 {
			steps = append(steps, s)
		}
	}
	plan, err := p.machine.Simulate(ctx, steps)
	if err != nil {
		return events.Plan{}, err
	}
	if err := refuseHeld(plan, now, in.Options); err != nil {
		return events.Plan{}, err
	}
	plan.Notes = append(plan.Notes, w.notes...)
	plan.Risks, err = p.risks(ctx, plan)
	return plan, err
}

// planImportFiles plans to write apt's configuration files. It stores their contents;
// the plan names them by digest.
func (p *Planner) planImportFiles(ctx context.Context, files []events.ManifestFile) (events.Plan, error) {
	snapshot, err := p.snapshots.Capture(ctx)
	if err != nil {
		return events.Plan{}, err
	}
	s := events.Step{Op: events.OpRestore}
	for _, f := range files {
		digest, err := p.blobs.Put(f.Content)
		if err != nil {
			return events.Plan{}, err
		}
		after := events.FileState{Kind: events.FileRegular, Mode: 0o644, Size: int64(len(f.Content)), Digest: digest}
		if before := snapshot.Files[f.Path]; before != after {
			s.Files = append(s.Files, events.FileChange{Path: f.Path, Before: before, After: after})
		}
	}
	if len(s.Files) == 0 {
		return events.Plan{}, nil
	}
	return events.Plan{Steps: []events.Step{s}}, nil
}

// importPlan is the planning of one manifest.
type importPlan struct {
	*Planner
	manifest  events.Manifest
	inventory events.Inventory
	native    events.Architecture
	notes     []string
}

func (w *importPlan) key(r events.PackageRef) events.PackageKey {
	if r.Arch == "" || r.Arch == "all" {
		r.Arch = w.native
	}
	return events.PackageKey{Name: r.Name, Arch: r.Arch}
}

func (w *importPlan) state(r events.PackageRef) events.State { return w.inventory[w.key(r)] }

// holds reports whether the manifest puts the package on hold.
func (w *importPlan) holds(r events.PackageRef) bool {
	return slices.ContainsFunc(w.manifest.Holds, func(h events.PackageRef) bool { return w.key(h) == w.key(r) })
}

// installStep returns the step for the packages that are missing or have another
// version. A version that no source offers any more comes from the store if it is
// there.
func (w *importPlan) installStep(ctx context.Context) (events.Step, error) {
	s := events.Step{Op: events.OpInstall}
	var anyVersion []events.PackageRef
	var names []events.PackageName
	for _, r := range w.manifest.Packages {
		st := w.state(r)
		if st.Installed() && (r.Version == "" || r.Version == st.Version) {
			continue
		}
		s.Targets = append(s.Targets, events.Target{PackageRef: r})
		if r.Version == "" {
			anyVersion = append(anyVersion, r)
			continue
		}
		s.AllowDowngrade = true
		names = append(names, r.Name)
	}
	offered, err := w.machine.OfferedVersions(ctx, names)
	if err != nil {
		return s, err
	}
	var missing []string
	for i, t := range s.Targets {
		if t.Version == "" || slices.Contains(offered[w.key(t.PackageRef)], t.Version) {
			continue
		}
		if deb, ok := w.blobs.Deb(w.key(t.PackageRef), t.Version); ok && w.blobs.CheckDeb(deb.Digest) == nil {
			s.Targets[i].Deb = deb.Digest
			continue
		}
		missing = append(missing, t.PackageRef.String())
	}
	if len(missing) > 0 {
		subject := strings.Join(missing[:min(maxMissingNamed, len(missing))], ", ")
		if more := len(missing) - maxMissingNamed; more > 0 {
			subject += fmt.Sprintf(" and %d more", more)
		}
		return s, &events.Error{Op: "planner.installStep", Kind: events.ErrNotFound, Subject: subject, Err: errors.New("no source offers this version, and the store has no copy"), Hint: "to install the offered versions instead, pass --any-version"}
	}
	return s, w.machine.CheckNames(ctx, anyVersion)
}

// manualStep marks installed automatic packages of the manifest as manual.
func (w *importPlan) manualStep() events.Step {
	s := events.Step{Op: events.OpMarkManual}
	for _, r := range w.manifest.Packages {
		if st := w.state(r); st.Installed() && st.Auto && (r.Version == "" || r.Version == st.Version) {
			s.Targets = append(s.Targets, withoutVersion(r))
		}
	}
	return s
}

// unholdStep lifts the holds that the manifest does not have.
func (w *importPlan) unholdStep() events.Step {
	s := events.Step{Op: events.OpUnhold}
	for _, r := range w.manifest.Packages {
		if w.state(r).Held() && !w.holds(r) {
			s.Targets = append(s.Targets, withoutVersion(r))
		}
	}
	return s
}

// holdStep sets the holds of the manifest. An installation ends a hold, so it also
// holds the packages of the install step.
func (w *importPlan) holdStep(install events.Step) events.Step {
	s := events.Step{Op: events.OpHold}
	for _, r := range w.manifest.Holds {
		reinstalled := slices.ContainsFunc(install.Targets, func(t events.Target) bool { return w.key(t.PackageRef) == w.key(r) })
		switch st := w.state(r); {
		case reinstalled || st.Installed() && !st.Held():
			s.Targets = append(s.Targets, withoutVersion(r))
		case !st.Installed():
			w.notes = append(w.notes, fmt.Sprintf("%s: cannot be held: not installed", r))
		}
	}
	return s
}

func withoutVersion(r events.PackageRef) events.Target {
	return events.Target{PackageRef: events.PackageRef{Name: r.Name, Arch: r.Arch}}
}
