package apt

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"cortex/events"
)

var (
	errNoPlan = errors.New("apt did not tell what it would do")
	errNoStep = errors.New("not a step that can run")
)

// Simulate gives the exact plan of the steps, without changing anything: what
// apt says it would do, then what the marks and holds add. A plan that changes
// nothing has no steps. At most one step of a plan may need apt's own planning.
func (m *Machine) Simulate(ctx context.Context, steps []events.Step) (events.Plan, error) {
	native, err := m.native()
	if err != nil {
		return events.Plan{}, err
	}
	now, err := m.Inventory(ctx)
	if err != nil {
		return events.Plan{}, err
	}
	steps = qualify(steps, now, native)
	plan := events.Plan{Steps: steps}
	planned := false
	for _, s := range steps {
		if err := check(s); err != nil {
			return events.Plan{}, err
		}
		if plain(s.Op) {
			plan.Changes = foresee(plan.Changes, s, now, native)
			continue
		}
		if planned {
			return events.Plan{}, &events.Error{Op: "apt.Simulate", Kind: events.ErrInternal, Err: errors.New("two steps need apt's planning")}
		}
		planned = true
		if err := m.simulateApt(ctx, s, now, native, &plan); err != nil {
			return events.Plan{}, err
		}
	}
	if err := m.markEssential(ctx, plan.Changes); err != nil {
		return events.Plan{}, err
	}
	if plan.Empty() {
		plan.Steps = nil
	}
	return plan, nil
}

// qualify writes names of the native architecture without it, unless another
// architecture's package of that name is there too: dpkg does not know a package
// of architecture "all" under the native one.
func qualify(steps []events.Step, now events.Inventory, native events.Architecture) []events.Step {
	archs := map[events.PackageName]int{}
	for k := range now {
		archs[k.Name]++
	}
	out := slices.Clone(steps)
	for i := range out {
		out[i].Targets = slices.Clone(out[i].Targets)
		for j, t := range out[i].Targets {
			if t.Arch == native && archs[t.Name] < 2 {
				out[i].Targets[j].Arch = ""
			}
		}
	}
	return out
}

// simulateApt asks apt what one step would do.
func (m *Machine) simulateApt(ctx context.Context, s events.Step, now events.Inventory, native events.Architecture, plan *events.Plan) error {
	hook, text, err := m.printURIs(ctx, s)
	if err != nil {
		return err
	}
	packages, err := parseHook(hook)
	if err != nil {
		return err
	}
	for _, p := range packages {
		c, err := p.change(native)
		if err != nil {
			return err
		}
		plan.Changes = append(plan.Changes, c)
	}
	uris := parseURIs(text)
	if s.Reinstall || s.AllowDowngrade {
		plan.Changes = append(plan.Changes, reinstalls(s, uris, plan.Changes, now, native)...)
	}
	plan.Changes = append(plan.Changes, adoptions(s, plan.Changes, now, native)...)
	slices.SortFunc(plan.Changes, func(a, b events.Change) int {
		return strings.Compare(a.PackageKey.String(), b.PackageKey.String())
	})
	for i, c := range plan.Changes {
		for _, u := range uris {
			if u.name == string(c.Name) && u.version == string(c.To) {
				plan.Changes[i].Download = u.size
			}
		}
	}
	for _, u := range uris {
		plan.Download += u.size
	}
	plan.Disk = parseDisk(text)
	return nil
}

// planError says why apt cannot make a plan.
func planError(s events.Step, text string, err error) error {
	e := &events.Error{Op: "apt.Simulate", Kind: events.ErrApt, Err: errors.New(complaint(text, err))}
	if len(s.Targets) == 1 {
		e.Subject = s.Targets[0].PackageRef.String()
	}
	switch {
	case strings.Contains(text, "is a virtual package provided by"):
		e.Kind = events.ErrNotFound
		e.Err = errors.New("is a virtual package with several providers")
		e.Hint = "name one of them: " + strings.Join(providers(text), ", ")
	case strings.Contains(text, "has no installation candidate"), strings.Contains(text, "was not found"):
		e.Kind = events.ErrNotFound
		e.Hint = "its package lists may be old: try 'apt-get update'"
	case strings.Contains(text, "Unmet dependencies"), strings.Contains(text, "unmet dependencies"):
		e.Err = errors.New(dependencies(text, e.Err))
		e.Hint = "see 'apt-get check'; a package it needs may be on hold or not be offered"
	case strings.Contains(text, "dpkg was interrupted"):
		e.Hint = "run 'dpkg --configure -a' first"
	}
	return e
}

// providers reads the list apt prints for a virtual package.
func providers(text string) []string {
	_, after, _ := strings.Cut(text, "is a virtual package provided by")
	var out []string
	for line := range strings.Lines(after) {
		if f := strings.Fields(line); strings.HasPrefix(line, " ") && len(f) > 0 {
			out = append(out, f[0])
		} else if len(out) > 0 {
			break
		}
	}
	return out[:min(len(out), 8)]
}

// dependencies reads apt's explanation of what is not satisfied.
func dependencies(text string, otherwise error) string {
	_, after, ok := strings.Cut(text, "unmet dependencies:")
	if !ok {
		return otherwise.Error()
	}
	var out []string
	for line := range strings.Lines(after) {
		if strings.HasPrefix(line, " ") {
			out = append(out, strings.Join(strings.Fields(line), " "))
		}
	}
	if len(out) == 0 {
		return otherwise.Error()
	}
	return "unmet dependencies: " + strings.Join(out[:min(3, len(out))], "; ")
}

// uri is one line of --print-uris.
type uri struct {
	name, version string
	size          int64
}

// parseURIs reads apt's lines: 'URI' NAME_VERSION_ARCH.deb SIZE HASH. The file
// name has the epoch's colon as %3a.
func parseURIs(text string) []uri {
	var out []uri
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "'") {
			continue
		}
		_, rest, ok := strings.Cut(line[1:], "' ")
		f := strings.Fields(rest)
		if !ok || len(f) < 2 {
			continue
		}
		parts := strings.Split(strings.TrimSuffix(f[0], ".deb"), "_")
		size, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil || len(parts) != 3 || size < 0 {
			continue
		}
		out = append(out, uri{parts[0], strings.ReplaceAll(parts[1], "%3a", ":"), size})
	}
	return out
}

// parseDisk reads "After this operation, 587 kB of additional disk space will be
// used." or "… will be freed." as bytes; 0 when apt says nothing.
func parseDisk(text string) int64 {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, "After this operation, ")
		if !ok {
			continue
		}
		f := strings.Fields(rest)
		if len(f) < 2 {
			return 0
		}
		n, err := strconv.ParseFloat(strings.ReplaceAll(f[0], ",", ""), 64)
		if err != nil {
			return 0
		}
		switch f[1] {
		case "kB":
			n *= 1e3
		case "MB":
			n *= 1e6
		case "GB":
			n *= 1e9
		}
		if strings.Contains(line, "freed") {
			n = -n
		}
		return int64(n)
	}
	return 0
}

// reinstalls are the packages that apt would fetch in the version that is
// installed: the hook leaves them out.
func reinstalls(s events.Step, uris []uri, changes []events.Change, now events.Inventory, native events.Architecture) []events.Change {
	var out []events.Change
	for _, t := range s.Targets {
		k := keyOf(string(t.Name), string(t.Arch), native)
		st := now[k]
		if t.Remove || !st.Known() || slices.ContainsFunc(changes, func(c events.Change) bool { return c.PackageKey == k }) {
			continue
		}
		fetched := slices.ContainsFunc(uris, func(u uri) bool { return u.name == string(t.Name) && u.version == string(st.Version) })
		switch {
		case fetched || s.Reinstall && st.Installed():
			out = append(out, events.Change{PackageKey: k, Action: events.ActionReinstall, From: st.Version, To: st.Version})
		}
	}
	return out
}

// adoptions are the automatic packages that become manual because the step names
// them: apt says nothing of it in its plan.
func adoptions(s events.Step, changes []events.Change, now events.Inventory, native events.Architecture) []events.Change {
	var out []events.Change
	for _, t := range s.Targets {
		k := keyOf(string(t.Name), string(t.Arch), native)
		changed := slices.ContainsFunc(changes, func(c events.Change) bool { return c.PackageKey == k })
		if st := now[k]; !t.Remove && !s.Reinstall && st.Auto && (s.Op == events.OpInstall || s.Op == events.OpUpgrade && changed) {
			out = append(out, events.Change{PackageKey: k, Action: events.ActionManual})
		}
	}
	return out
}

// foresee adds what a step without a plan of apt's will change.
func foresee(changes []events.Change, s events.Step, now events.Inventory, native events.Architecture) []events.Change {
	for _, t := range s.Targets {
		k := keyOf(string(t.Name), string(t.Arch), native)
		i := slices.IndexFunc(changes, func(c events.Change) bool { return c.PackageKey == k })
		coming := i >= 0 && changes[i].Action == events.ActionInstall
		add := func(a events.Action) {
			changes = append(changes, events.Change{PackageKey: k, Action: a})
		}
		switch st := now[k]; s.Op {
		case events.OpForget:
			switch {
			case i >= 0:
				changes[i].Action = events.ActionPurge
			case st.Known():
				changes = append(changes, events.Change{PackageKey: k, Action: events.ActionPurge, From: st.Version})
			}
		case events.OpHold:
			if !st.Held() && (st.Known() || coming) {
				add(events.ActionHold)
			}
		case events.OpUnhold:
			if st.Held() {
				add(events.ActionUnhold)
			}
		case events.OpAuto, events.OpManual:
			auto := s.Op == events.OpAuto
			switch {
			case coming:
				changes[i].Automatic = auto
			case st.Known() && st.Auto != auto && auto:
				add(events.ActionAuto)
			case st.Known() && st.Auto != auto:
				add(events.ActionManual)
			}
		case events.OpInstall, events.OpRemove, events.OpPurge, events.OpUpgrade:
		}
	}
	return changes
}

// markEssential flags removals that would break the system: what dpkg calls
// essential or protected, and the package tools themselves.
func (m *Machine) markEssential(ctx context.Context, changes []events.Change) error {
	argv := []string{"dpkg-query", "-W", "-f", "${Package}\t${Essential}\t${Protected}\n", "--"}
	for _, c := range changes {
		if c.Action == events.ActionRemove || c.Action == events.ActionPurge {
			argv = append(argv, string(c.Name))
		}
	}
	if argv[len(argv)-1] == "--" {
		return nil
	}
	out, err := m.read(ctx, argv...)
	if err != nil && events.KindOf(err) != events.ErrApt {
		return err
	}
	essential := map[events.PackageName]bool{"apt": true, "dpkg": true, "libc6": true}
	for line := range strings.Lines(string(out)) {
		if f := strings.Split(strings.TrimSpace(line), "\t"); slices.Contains(f[1:], "yes") {
			essential[events.PackageName(f[0])] = true
		}
	}
	for i, c := range changes {
		removed := c.Action == events.ActionRemove || c.Action == events.ActionPurge
		changes[i].Essential = removed && essential[c.Name] && c.From != ""
	}
	return nil
}
