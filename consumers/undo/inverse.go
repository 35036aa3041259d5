// Package undo defines what an undo restores.
//
// [MergeEffects] reads the effects of the undone transactions from the log and merges
// them. [PlanInverse] is pure: from the merged effects and the present state of the
// machine it derives the steps, the residue and the conflicts. [Compensator] records,
// after an undo ran, whether it was exact, from the log alone.
//
// An element is the version and status of a package, its automatic mark, its hold, a
// file with content, mode and owner, or a setting. They promise:
//
//   - An element that is unchanged since the transactions is restored.
//   - An element that is already in its earlier state is not touched.
//   - A package or file that was changed since is a conflict. A mark, a hold or a
//     setting that was changed since is kept.
//   - An undo is called exact only after every element that the transactions or the
//     undo changed was compared.
package undo

import (
	"fmt"
	"slices"
	"strings"

	"cortex/consumers/machine/confstate"
	"cortex/events"
)

// CurrentState is the present state of the machine.
type CurrentState struct {
	Packages events.Inventory
	Snapshot confstate.Snapshot
	// FindDeb returns the stored package file of a package version.
	FindDeb func(events.PackageKey, events.Version) (events.Deb, bool)
}

// Inverse is the way back.
type Inverse struct {
	Steps     []events.Step
	Residue   []string            // elements that the steps do not restore
	Conflicts []Conflict          // reasons against the undo; any one forbids it
	Touched   []events.PackageKey // packages whose state the steps restore
}

// Conflict is a package or a path that was changed after the undone transactions.
type Conflict struct {
	events.PackageKey
	Path     string
	Expected events.State // the package as the transaction left it
	Current  events.State
}

// Subject returns the name of the element.
func (c Conflict) Subject() string {
	if c.Path != "" {
		return c.Path
	}
	return string(c.Name)
}

// String describes the conflict, without the name of its element.
func (c Conflict) String() string {
	switch {
	case c.Path != "":
		return "changed since the transaction"
	case c.Current == c.Expected:
		return "changed by another transaction in between"
	}
	return fmt.Sprintf("is now %s, not %s", describe(c.Current), describe(c.Expected))
}

func describe(s events.State) string {
	switch {
	case !s.Known():
		return "not installed"
	case s.Status == events.StatusInstalled:
		return "at " + string(s.Version)
	}
	return fmt.Sprintf("%s at %s", s.Status, s.Version)
}

// withoutMarks returns a state without the automatic mark and the hold.
func withoutMarks(s events.State) events.State {
	s.Auto = false
	if s.Want == events.WantHold {
		s.Want = events.WantInstall
	}
	return s
}

// PlanInverse derives the inverse of the merged effects from the present state. Paths
// in force are restored although they were changed since.
func PlanInverse(sel MergedEffects, now CurrentState, force []string) Inverse {
	c := inversePlan{now: now, newConffiles: newConffiles(sel.Settings)}
	for _, change := range sel.Changes {
		if sel.PackageGaps[change.PackageKey] && withoutMarks(now.Packages[change.PackageKey]) != withoutMarks(change.Before) {
			is := now.Packages[change.PackageKey]
			c.Conflicts = append(c.Conflicts, Conflict{PackageKey: change.PackageKey, Expected: is, Current: is})
			continue
		}
		c.planPackage(change, now.Packages[change.PackageKey])
	}
	for _, change := range sel.Files {
		c.planFile(change, sel.FileGaps[change.Path], slices.Contains(force, change.Path))
	}
	for _, change := range sel.Settings {
		c.planSetting(change)
	}
	return c.orderSteps(sel.HasSnapshot)
}

// newConffiles returns the conffiles that dpkg registered with the changes.
func newConffiles(changes []events.SettingChange) map[string]bool {
	out := map[string]bool{}
	for _, c := range changes {
		if c.Kind != events.SettingConffiles {
			continue
		}
		for line := range strings.Lines(c.After) {
			out[confstate.ConffilePath(line)] = true
		}
		for line := range strings.Lines(c.Before) {
			delete(out, confstate.ConffilePath(line))
		}
	}
	return out
}

type inversePlan struct {
	Inverse
	now                        CurrentState
	install, forget            []events.Target
	auto, manual, hold, unhold []events.Target
	files                      []events.FileChange
	settings                   []events.SettingChange
	newConffiles               map[string]bool // conffiles that dpkg registered since
}

func (c *inversePlan) planPackage(change events.PackageChange, now events.State) {
	before, after := change.Before, change.After
	target := events.Target{PackageRef: events.PackageRef{Name: change.Name, Arch: change.Arch}}
	restored := false
	switch {
	case withoutMarks(now) == withoutMarks(before):
	case withoutMarks(now) == withoutMarks(after):
		restored = c.planVersion(target, before, now)
	default:
		c.Conflicts = append(c.Conflicts, Conflict{PackageKey: change.PackageKey, Expected: after, Current: now})
		return
	}
	if restored {
		c.Touched = append(c.Touched, change.PackageKey)
	}
	if before.Status != events.StatusInstalled {
		return // without the package there is no mark or hold
	}
	// apt marks the packages that it is told to install as manual, so the mark of a
	// restored package is always set. The mark of another package is restored only
	// if it was not changed since.
	if restored || now.Auto == after.Auto && now.Auto != before.Auto {
		if before.Auto {
			c.auto = append(c.auto, target)
		} else if now.Auto {
			c.manual = append(c.manual, target)
		}
	}
	switch {
	case before.Held() && !now.Held():
		c.hold = append(c.hold, target)
	case !before.Held() && now.Held() && after.Held():
		c.unhold = append(c.unhold, target)
	}
}

// planVersion plans how a package returns from its present state to the earlier one. It
// reports whether anything is planned.
func (c *inversePlan) planVersion(target events.Target, before, now events.State) bool {
	switch {
	case before.Status == events.StatusInstalled:
		target.Version = before.Version
		if d, ok := c.now.FindDeb(events.PackageKey{Name: target.Name, Arch: target.Arch}, before.Version); ok {
			target.Deb = d.Digest
		}
		c.install = append(c.install, target)
	case !before.Known() && now.Status == events.StatusConfigFiles:
		c.forget = append(c.forget, target)
	case !before.Known():
		target.Remove = true
		c.install = append(c.install, target)
		target.Remove = false
		c.forget = append(c.forget, target)
	case before.Status == events.StatusConfigFiles && now.Known():
		if now.Version != before.Version {
			c.Residue = append(c.Residue, fmt.Sprintf("%s: dpkg will record %s as its last version, not %s", target.Name, now.Version, before.Version))
		}
		target.Remove = true
		c.install = append(c.install, target)
	case before.Status == events.StatusConfigFiles:
		c.Residue = append(c.Residue, fmt.Sprintf("%s: dpkg will not record its leftover configuration files", target.Name))
		return false
	default:
		c.Residue = append(c.Residue, fmt.Sprintf("%s: the broken state %q is not restored", target.Name, before.Status))
		return false
	}
	return true
}

// planFile plans the restoration of one path.
func (c *inversePlan) planFile(change events.FileChange, gap, forced bool) {
	now := c.now.Snapshot.Files[change.Path]
	switch {
	case confstate.IsAccountFile(change.Path) || confstate.IsAlternativeLink(change.Path) || now == change.Before:
		return
	case (now != change.After || gap) && !forced:
		c.Conflicts = append(c.Conflicts, Conflict{Path: change.Path})
		return
	case change.Before.Kind == events.FileOther || change.Before.NotStored:
		c.Residue = append(c.Residue, change.Path+": its earlier content was not stored; it stays unchanged")
		return
	}
	c.files = append(c.files, events.FileChange{Path: change.Path, Before: now, After: change.Before})
}

// planSetting plans the restoration of one setting. A setting that was changed since is
// kept. Only dpkg itself changes its registry of conffiles, with the packages.
func (c *inversePlan) planSetting(change events.SettingChange) {
	now := c.now.Snapshot.Settings[confstate.SettingKey{Kind: change.Kind, Name: change.Name}]
	if now != change.After || now == change.Before || change.Kind == events.SettingConffiles {
		return
	}
	c.settings = append(c.settings, events.SettingChange{Kind: change.Kind, Name: change.Name, Before: now, After: change.Before})
}

// stepBeforePackages returns the step that runs before packages change. It restores
// debconf's answers, which maintainer scripts read, and removes conffiles that the
// earlier version does not have: dpkg would record an existing one as obsolete.
func (c *inversePlan) stepBeforePackages() events.Step {
	s := events.Step{Op: events.OpRestore}
	for _, a := range c.settings {
		if a.Kind == events.SettingDebconf && a.After != "" {
			s.Settings = append(s.Settings, a)
		}
	}
	for _, f := range c.files {
		if !f.After.Exists() && f.Before.Kind == events.FileRegular && c.newConffiles[f.Path] {
			s.Files = append(s.Files, f)
		}
	}
	return s
}

// orderSteps orders the steps: debconf's answers before the packages, whose scripts
// read them; files and settings after the packages, which may change them; marks and
// holds last.
func (c *inversePlan) orderSteps(captured bool) Inverse {
	add := func(op events.Op, targets []events.Target) {
		if len(targets) > 0 {
			c.Steps = append(c.Steps, events.Step{Op: op, Targets: targets})
		}
	}
	if first := c.stepBeforePackages(); len(first.Settings)+len(first.Files) > 0 && len(c.install) > 0 {
		c.Steps = append(c.Steps, first)
	}
	if len(c.install) > 0 {
		c.Steps = append(c.Steps, events.Step{
			Op: events.OpInstall, Targets: c.install, NoRecommends: true, AllowDowngrade: true,
		})
	}
	add(events.OpPurgeLeftovers, c.forget)
	touches := len(c.install)+len(c.forget) > 0
	if len(c.files)+len(c.settings) > 0 || captured && touches {
		c.Steps = append(c.Steps, events.Step{Op: events.OpRestore, Files: c.files, Settings: c.settings, RevertSideEffects: captured && touches})
	}
	add(events.OpMarkAuto, c.auto)
	add(events.OpMarkManual, c.manual)
	add(events.OpUnhold, c.unhold)
	add(events.OpHold, c.hold)
	return c.Inverse
}
