package apt

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"cortex/events"
)

// forecast computes the state after the steps of a plan: packages from apt's own plan,
// marks and holds from the documented behaviour of apt and dpkg.
type forecast struct {
	before, after events.Inventory // before the first step, after the last one so far
	native        events.Architecture
	packages      map[events.PackageKey]events.PlannedChange // at most one action on each package
	download      int64
}

func newForecast(now events.Inventory, native events.Architecture) *forecast {
	return &forecast{before: now, after: maps.Clone(now), native: native, packages: map[events.PackageKey]events.PlannedChange{}}
}

// applyApt applies apt's plan for a step.
func (f *forecast) applyApt(s events.Step, a aptAnswer) error {
	for _, p := range a.packages {
		c, err := p.change(f.native)
		if err != nil {
			return err
		}
		f.applyChange(c, p.Automatic)
	}
	if s.Reinstall {
		if err := f.addReinstalls(s, a.text); err != nil {
			return err
		}
	}
	if strings.Contains(a.text, "not fully installed or removed") {
		f.addConfigures()
	}
	for _, k := range parseSetManual(a.text, f.native) {
		f.mark(k, false)
	}
	uris := parseURIs(a.text)
	for _, u := range uris {
		f.download += u.size
		k := keyOf(u.name, u.arch, f.native)
		if c, ok := f.packages[k]; ok && u.version == string(c.To) {
			c.DownloadBytes = u.size
			f.packages[k] = c
		}
	}
	return nil
}

// applyChange records one action and its effect. automatic is the mark afterwards. A
// package that is unpacked again loses its hold.
func (f *forecast) applyChange(c events.PlannedChange, automatic bool) {
	f.packages[c.PackageKey] = c
	st := events.State{Version: c.To, Want: events.WantInstall, Flag: events.FlagOK, Status: events.StatusInstalled, Auto: automatic}
	switch c.Action {
	case events.ActionInstall, events.ActionUpgrade, events.ActionDowngrade:
	case events.ActionReinstall, events.ActionConfigure:
		st = f.after[c.PackageKey]
		st.Flag, st.Status, st.Auto = events.FlagOK, events.StatusInstalled, automatic
		if c.Action == events.ActionReinstall {
			st.Want = events.WantInstall
		}
	case events.ActionRemove:
		st = events.State{Version: c.From, Want: events.WantDeinstall, Flag: events.FlagOK, Status: events.StatusConfigFiles}
	case events.ActionPurge:
		st = events.State{}
	case events.ActionHold, events.ActionUnhold, events.ActionMarkAuto, events.ActionMarkManual:
		return // not actions on packages
	}
	f.set(c.PackageKey, st)
}

func (f *forecast) set(k events.PackageKey, st events.State) {
	if st.Known() {
		f.after[k] = st
	} else {
		delete(f.after, k)
	}
}

// addReinstalls adds reinstallations of the same version, which apt's hook omits.
func (f *forecast) addReinstalls(s events.Step, text string) error {
	for _, t := range s.Targets {
		k := keyOf(string(t.Name), string(t.Arch), f.native)
		st := f.after[k]
		if _, planned := f.packages[k]; planned || t.Remove || !st.Installed() {
			continue
		}
		if strings.Contains(text, "Reinstallation of "+string(t.Name)+" is not possible") ||
			strings.Contains(text, "Reinstallation of "+k.String()+" is not possible") {
			return notOffered(t.PackageRef, st.Version)
		}
		f.applyChange(events.PlannedChange{PackageKey: k, Action: events.ActionReinstall, From: st.Version, To: st.Version}, st.Auto)
	}
	return nil
}

// addConfigures adds packages that are unpacked or half-configured: every run of apt
// also finishes those.
func (f *forecast) addConfigures() {
	for k, st := range f.before {
		if _, planned := f.packages[k]; planned {
			continue
		}
		switch st.Status {
		case events.StatusUnpacked, events.StatusHalfConfigured, events.StatusTriggersAwaited, events.StatusTriggersPending:
			f.applyChange(events.PlannedChange{PackageKey: k, Action: events.ActionConfigure, From: st.Version, To: st.Version}, st.Auto)
		case events.StatusInstalled, events.StatusConfigFiles, events.StatusNotInstalled, events.StatusHalfInstalled:
		}
	}
}

// applyUnplanned applies a step that dpkg or apt-mark carries out.
func (f *forecast) applyUnplanned(s events.Step) {
	for _, t := range s.Targets {
		k := keyOf(string(t.Name), string(t.Arch), f.native)
		st := f.after[k]
		switch s.Op {
		case events.OpPurgeLeftovers:
			if st.Known() {
				f.applyChange(events.PlannedChange{PackageKey: k, Action: events.ActionPurge, From: installed(f.before[k])}, false)
			}
		case events.OpHold, events.OpUnhold:
			f.hold(k, s.Op == events.OpHold)
		case events.OpMarkAuto, events.OpMarkManual:
			f.mark(k, s.Op == events.OpMarkAuto)
		case events.OpInstall, events.OpRemove, events.OpPurge, events.OpUpgrade:
		}
	}
}

// installed returns the installed version; "" if only configuration files are left.
func installed(st events.State) events.Version {
	if st.Status == events.StatusConfigFiles || st.Status == events.StatusNotInstalled {
		return ""
	}
	return st.Version
}

// mark sets the automatic mark of an installed package.
func (f *forecast) mark(k events.PackageKey, auto bool) {
	st := f.after[k]
	if !st.Known() || st.Status == events.StatusConfigFiles || st.Status == events.StatusNotInstalled {
		return
	}
	st.Auto = auto
	f.after[k] = st
}

// hold sets or lifts the hold on a package that dpkg knows.
func (f *forecast) hold(k events.PackageKey, on bool) {
	st := f.after[k]
	switch {
	case on == st.Held() || !st.Known():
		return
	case on:
		st.Want = events.WantHold
	case st.Status == events.StatusNotInstalled:
		st = events.State{}
	case st.Status == events.StatusConfigFiles:
		st.Want = events.WantDeinstall
	default:
		st.Want = events.WantInstall
	}
	f.set(k, st)
}

// changes lists every action, sorted by package. Marks and holds that differ follow the
// action on their package.
func (f *forecast) changes() []events.PlannedChange {
	var out []events.PlannedChange
	for k, c := range f.packages {
		c.Automatic = c.Action == events.ActionInstall && f.after[k].Auto
		out = append(out, c)
	}
	for k, was := range f.before {
		is, ok := f.after[k]
		if !ok || is.Status == events.StatusConfigFiles && was.Status != events.StatusConfigFiles {
			if _, touched := f.packages[k]; !touched && was.Held() { // dpkg knew only the hold
				out = append(out, events.PlannedChange{PackageKey: k, Action: events.ActionUnhold})
			}
			continue // a removed package has no mark or hold
		}
		out = append(out, markChanges(k, was, is)...)
	}
	for k, is := range f.after {
		if _, ok := f.before[k]; !ok && is.Held() {
			out = append(out, events.PlannedChange{PackageKey: k, Action: events.ActionHold})
		}
	}
	slices.SortStableFunc(out, func(a, b events.PlannedChange) int {
		return cmp.Or(strings.Compare(a.PackageKey.String(), b.PackageKey.String()), cmp.Compare(rank(a.Action), rank(b.Action)))
	})
	return out
}

// markChanges returns the changes of the mark and of the hold.
func markChanges(k events.PackageKey, was, is events.State) []events.PlannedChange {
	var out []events.PlannedChange
	present := was.Status != events.StatusConfigFiles && was.Status != events.StatusNotInstalled
	switch {
	case present && is.Auto && !was.Auto:
		out = append(out, events.PlannedChange{PackageKey: k, Action: events.ActionMarkAuto})
	case present && was.Auto && !is.Auto:
		out = append(out, events.PlannedChange{PackageKey: k, Action: events.ActionMarkManual})
	}
	switch {
	case is.Held() && !was.Held():
		out = append(out, events.PlannedChange{PackageKey: k, Action: events.ActionHold})
	case was.Held() && !is.Held():
		out = append(out, events.PlannedChange{PackageKey: k, Action: events.ActionUnhold})
	}
	return out
}

// rank orders actions on one package: the package, its mark, its hold.
func rank(a events.Action) int {
	switch a {
	case events.ActionMarkAuto, events.ActionMarkManual:
		return 1
	case events.ActionHold, events.ActionUnhold:
		return 2
	case events.ActionInstall, events.ActionUpgrade, events.ActionDowngrade, events.ActionReinstall,
		events.ActionRemove, events.ActionPurge, events.ActionConfigure:
	}
	return 0
}
