// Package undo knows what taking something back means.
//
// [MergeEffects] reads from the log what is to be taken back, as one merged difference.
// [PlanInverse] is pure: from that difference and the machine's present state it
// derives the steps that restore before, what cannot be restored, and what stands
// in the way. [Compensator] judges an undo after it ran, by the log alone.
//
// They promise: an element (version and status; automatic mark; hold; a file's
// content, mode and owner; a setting) that is as the transactions left it is
// restored; one that is already as before is left alone; one that somebody
// changed since is a conflict, except marks and holds, which are kept. Nothing is
// called exact that was not compared.
package undo

import (
	"fmt"
	"slices"
	"strings"

	"cortex/consumers/machine/confstate"
	"cortex/events"
)

// CurrentState is the machine as it is.
type CurrentState struct {
	Packages events.Inventory
	Snapshot confstate.Snapshot
	// FindDeb finds the package file that is kept of a package in a version.
	FindDeb func(events.PackageKey, events.Version) (events.Deb, bool)
}

// Inverse is what undoing takes.
type Inverse struct {
	Steps     []events.Step
	Residue   []string            // what will not be as before
	Conflicts []Conflict          // what stands in the way; non-empty forbids the undo
	Touched   []events.PackageKey // the packages whose state the steps restore
}

// Conflict is an element that somebody changed since: a package, or a path.
type Conflict struct {
	events.PackageKey
	Path     string
	Expected events.State // the package as the transaction left it
	Current  events.State
}

// Subject names the element.
func (c Conflict) Subject() string {
	if c.Path != "" {
		return c.Path
	}
	return string(c.Name)
}

// String tells the conflict to a person.
func (c Conflict) String() string {
	switch {
	case c.Path != "":
		return "it was changed since"
	case c.Current == c.Expected:
		return "it was changed by something else in between"
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

// withoutMarks is the part of a state that packages decide: everything but the
// automatic mark and the hold.
func withoutMarks(s events.State) events.State {
	s.Auto = false
	if s.Want == events.WantHold {
		s.Want = events.WantInstall
	}
	return s
}

// PlanInverse derives what taking the selection back takes, given what is now. Paths
// in force are restored although somebody changed them since.
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

// newConffiles lists the configuration files that came into dpkg's registry.
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
	newConffiles               map[string]bool // configuration files that dpkg did not know before
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
		return // marks and holds go with the package
	}
	// apt marks what it is told to install as manual, so a restored package is
	// always marked as it was; an untouched one only where the mark is still
	// the transaction's.
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

// planVersion plans how the package gets from now to before; it reports whether
// anything is planned.
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
			c.Residue = append(c.Residue, fmt.Sprintf("%s: the remembered version will be %s, not %s", target.Name, now.Version, before.Version))
		}
		target.Remove = true
		c.install = append(c.install, target)
	case before.Status == events.StatusConfigFiles:
		c.Residue = append(c.Residue, fmt.Sprintf("%s: dpkg will not remember that its configuration files are left", target.Name))
		return false
	default:
		c.Residue = append(c.Residue, fmt.Sprintf("%s: its broken state %q is not restored", target.Name, before.Status))
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
		c.Residue = append(c.Residue, change.Path+": is not kept and stays as it is")
		return
	}
	c.files = append(c.files, events.FileChange{Path: change.Path, Before: now, After: change.Before})
}

// planSetting plans the restoration of one setting. One that somebody changed since
// is kept, like marks. dpkg's registry of configuration files comes back with the
// packages, or not at all.
func (c *inversePlan) planSetting(change events.SettingChange) {
	now := c.now.Snapshot.Settings[confstate.SettingKey{Kind: change.Kind, Name: change.Name}]
	if now != change.After || now == change.Before || change.Kind == events.SettingConffiles {
		return
	}
	c.settings = append(c.settings, events.SettingChange{Kind: change.Kind, Name: change.Name, Before: now, After: change.Before})
}

// stepBeforePackages is what comes before the packages: debconf's answers, which scripts read,
// and the end of configuration files that the version to come does not have –
// dpkg would remember one that is there as obsolete.
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

// orderSteps orders the steps: debconf's answers come before the packages whose
// scripts read them, everything else that packages may change again after them,
// marks and holds last.
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
