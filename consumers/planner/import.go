package planner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cortex/events"
)

// maxMissingNamed bounds how many versions that cannot be had an error names.
const maxMissingNamed = 8

// planImport plans what makes the machine what a manifest says: one run of apt for
// all that is missing or has another version, then marks and holds.
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

// planImportFiles plans to put apt's files in place. Their contents are kept before
// the plan is made, and the plan names them.
func (p *Planner) planImportFiles(ctx context.Context, files []events.ManifestFile) (events.Plan, error) {
	img, err := p.snapshots.Capture(ctx)
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
		if before := img.Files[f.Path]; before != after {
			s.Files = append(s.Files, events.FileChange{Path: f.Path, Before: before, After: after})
		}
	}
	if len(s.Files) == 0 {
		return events.Plan{}, nil
	}
	return events.Plan{Steps: []events.Step{s}}, nil
}

// importPlan is one manifest being planned.
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

// holds reports whether the manifest wants the package on hold.
func (w *importPlan) holds(r events.PackageRef) bool {
	return slices.ContainsFunc(w.manifest.Holds, func(h events.PackageRef) bool { return w.key(h) == w.key(r) })
}

// installStep is the step for what is missing or has another version. A version that
// no source offers any more is taken from the vault when it is kept there.
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
		return s, &events.Error{Op: "planner.install", Kind: events.ErrNotFound, Subject: subject, Err: errors.New("no source offers this, and it is not kept"), Hint: "--any-version takes the versions that are offered"}
	}
	return s, w.machine.CheckNames(ctx, anyVersion)
}

// manualStep marks as asked for what is there already, but only for others' sake.
func (w *importPlan) manualStep() events.Step {
	s := events.Step{Op: events.OpMarkManual}
	for _, r := range w.manifest.Packages {
		if st := w.state(r); st.Installed() && st.Auto && (r.Version == "" || r.Version == st.Version) {
			s.Targets = append(s.Targets, withoutVersion(r))
		}
	}
	return s
}

// unholdStep lets go what the manifest names and does not hold.
func (w *importPlan) unholdStep() events.Step {
	s := events.Step{Op: events.OpUnhold}
	for _, r := range w.manifest.Packages {
		if w.state(r).Held() && !w.holds(r) {
			s.Targets = append(s.Targets, withoutVersion(r))
		}
	}
	return s
}

// holdStep puts on hold what is not, and once more what is installed anew: that ends a
// hold. What is not there afterwards cannot be held.
func (w *importPlan) holdStep(install events.Step) events.Step {
	s := events.Step{Op: events.OpHold}
	for _, r := range w.manifest.Holds {
		anew := slices.ContainsFunc(install.Targets, func(t events.Target) bool { return w.key(t.PackageRef) == w.key(r) })
		switch st := w.state(r); {
		case anew || st.Installed() && !st.Held():
			s.Targets = append(s.Targets, withoutVersion(r))
		case !st.Installed():
			w.notes = append(w.notes, fmt.Sprintf("%s is not installed and cannot be held", r))
		}
	}
	return s
}

func withoutVersion(r events.PackageRef) events.Target {
	return events.Target{PackageRef: events.PackageRef{Name: r.Name, Arch: r.Arch}}
}
