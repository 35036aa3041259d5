// Package undoer knows what taking a transaction back means.
//
// [Compute] is pure: from the recorded change of every package (before, after)
// and the machine's present state it derives the steps that restore before, what
// cannot be restored, and what stands in the way. [Compensator] judges an undo
// after it ran, by the log alone.
//
// They promise: an element (version and status; automatic mark; hold) that is as
// the transaction left it is restored; one that is already as before is left
// alone; one that somebody changed since is a conflict for versions and is kept
// for marks and holds. Nothing is called exact that was not compared.
package undoer

import (
	"fmt"

	"cortex/events"
)

// Result is what undoing takes.
type Result struct {
	Steps     []events.Step
	Residue   []string            // what will not be as before
	Conflicts []Conflict          // what stands in the way; non-empty forbids the undo
	Touched   []events.PackageKey // the packages whose state the steps restore
}

// Conflict is a package that somebody changed since the transaction.
type Conflict struct {
	events.PackageKey
	Left events.State // as the transaction left it
	Now  events.State
}

// String tells the conflict to a person.
func (c Conflict) String() string {
	return fmt.Sprintf("%s is now %s, not %s", c.Name, describe(c.Now), describe(c.Left))
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

// body is the part of a state that packages decide: everything but the
// automatic mark and the hold.
func body(s events.State) events.State {
	s.Auto = false
	if s.Want == events.WantHold {
		s.Want = events.WantInstall
	}
	return s
}

// Compute derives what undoing the changes takes, given what is now.
func Compute(changes []events.PackageChange, now events.Inventory) Result {
	var c computation
	for _, change := range changes {
		c.restore(change, now[change.PackageKey])
	}
	return c.result()
}

type computation struct {
	Result
	install, forget            []events.Target
	auto, manual, hold, unhold []events.Target
}

func (c *computation) restore(change events.PackageChange, now events.State) {
	before, after := change.Before, change.After
	target := events.Target{PackageRef: events.PackageRef{Name: change.Name, Arch: change.Arch}}
	restored := false
	switch {
	case body(now) == body(before):
	case body(now) == body(after):
		restored = c.restoreBody(target, before, now)
	default:
		c.Conflicts = append(c.Conflicts, Conflict{change.PackageKey, after, now})
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

// restoreBody plans how the package gets from now to before; it reports whether
// anything is planned.
func (c *computation) restoreBody(target events.Target, before, now events.State) bool {
	switch {
	case before.Status == events.StatusInstalled:
		target.Version = before.Version
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
		c.Residue = append(c.Residue, fmt.Sprintf("%s: the configuration files that were left of it cannot be brought back", target.Name))
		return false
	default:
		c.Residue = append(c.Residue, fmt.Sprintf("%s: its broken state %q is not restored", target.Name, before.Status))
		return false
	}
	return true
}

func (c *computation) result() Result {
	add := func(op events.Op, targets []events.Target) {
		if len(targets) > 0 {
			c.Steps = append(c.Steps, events.Step{Op: op, Targets: targets})
		}
	}
	if len(c.install) > 0 {
		c.Steps = append(c.Steps, events.Step{
			Op: events.OpInstall, Targets: c.install, NoRecommends: true, AllowDowngrade: true,
		})
	}
	add(events.OpForget, c.forget)
	add(events.OpAuto, c.auto)
	add(events.OpManual, c.manual)
	add(events.OpUnhold, c.unhold)
	add(events.OpHold, c.hold)
	return c.Result
}
