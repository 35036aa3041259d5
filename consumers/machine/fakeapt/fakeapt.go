// Package fakeapt is a package manager in memory, for tests that do not need the real
// apt: of redelivery, restarts, races and commands. It behaves like apt for packages
// without dependencies and counts steps. A test can make steps wait or fail. Tests of
// apt's own behaviour run in the test bed.
package fakeapt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"cortex/consumers/machine"
	"cortex/events"
)

// Fake is a package manager in memory. Use [New]. It is safe for concurrent use.
type Fake struct {
	mu      sync.Mutex
	offers  map[events.PackageName][]events.Version // oldest first
	state   events.Inventory
	runs    map[string]int // runs of each label
	failing map[events.PackageName]bool
	blocked chan struct{} // if set, steps wait until it is closed
	entered chan string   // receives the label of a step that waits
}

// New returns a Fake with no package installed. It offers cowsay 1.0, sl 1.0, and toy-app
// and toy-lib in 1.0 and 2.0.
func New() *Fake {
	return &Fake{
		offers: map[events.PackageName][]events.Version{
			"cowsay": {"1.0"}, "sl": {"1.0"}, "toy-app": {"1.0", "2.0"}, "toy-lib": {"1.0", "2.0"},
		},
		state: events.Inventory{}, runs: map[string]int{}, failing: map[events.PackageName]bool{},
	}
}

// Offer adds a package in some versions, oldest first.
func (m *Fake) Offer(name events.PackageName, versions ...events.Version) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.offers[name] = versions
}

// FailInstall makes every step that installs the package fail, with the package
// half-configured.
func (m *Fake) FailInstall(name events.PackageName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failing[name] = true
}

// BlockSteps makes steps wait until release is called. entered receives the label of
// each step that waits.
func (m *Fake) BlockSteps() (entered <-chan string, release func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.blocked, m.entered = make(chan struct{}), make(chan string, 16)
	gate := m.blocked
	return m.entered, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.blocked = nil
		close(gate)
	}
}

// Runs returns the number of runs of each label.
func (m *Fake) Runs() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.runs)
}

// SetState sets the state of a package, like a change outside Cortex.
func (m *Fake) SetState(name events.PackageName, s events.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.Known() {
		m.state[packageKey(name)] = s
	} else {
		delete(m.state, packageKey(name))
	}
}

// Installed returns the state of an installed package.
func Installed(v events.Version) events.State {
	return events.State{Version: v, Want: events.WantInstall, Flag: events.FlagOK, Status: events.StatusInstalled}
}

func packageKey(name events.PackageName) events.PackageKey {
	return events.PackageKey{Name: name, Arch: "amd64"}
}

// NativeArch returns amd64.
func (m *Fake) NativeArch(context.Context) (events.Architecture, error) { return "amd64", nil }

// Inventory returns the present state.
func (m *Fake) Inventory(context.Context) (events.Inventory, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.state), nil
}

// CheckNames accepts the offered versions.
func (m *Fake) CheckNames(_ context.Context, refs []events.PackageRef) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range refs {
		versions, ok := m.offers[r.Name]
		if !ok || r.Version != "" && !slices.Contains(versions, r.Version) {
			return &events.Error{Op: "fakeapt.CheckNames", Kind: events.ErrNotFound, Subject: r.String(), Err: errors.New("no such package"), Hint: "did you mean cowsay?"}
		}
	}
	return nil
}

// Simulate lists the changes that Run would make.
func (m *Fake) Simulate(_ context.Context, steps []events.Step) (events.Plan, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	plan := events.Plan{Steps: steps}
	next := maps.Clone(m.state)
	for _, s := range steps {
		m.apply(s, next, nil)
	}
	for _, c := range events.DiffInventories(m.state, next) {
		plan.Changes = append(plan.Changes, events.PlannedChange{PackageKey: c.PackageKey, Action: actionOf(c), From: c.Before.Version, To: c.After.Version})
	}
	if len(plan.Changes) == 0 {
		plan.Steps = nil
	}
	return plan, nil
}

func actionOf(c events.PackageChange) events.Action {
	switch {
	case c.After.Held() && !c.Before.Held():
		return events.ActionHold
	case c.Before.Held() && !c.After.Held() && c.After.Version == c.Before.Version:
		return events.ActionUnhold
	case c.After.Auto != c.Before.Auto && c.After.Version == c.Before.Version && c.Before.Installed():
		if c.After.Auto {
			return events.ActionMarkAuto
		}
		return events.ActionMarkManual
	case !c.After.Known():
		return events.ActionPurge
	case c.After.Status == events.StatusConfigFiles:
		return events.ActionRemove
	case !c.Before.Installed():
		return events.ActionInstall
	case c.Before.Version > c.After.Version:
		return events.ActionDowngrade
	}
	return events.ActionUpgrade
}

// apply carries out one step on inv. Failing packages end half-configured.
func (m *Fake) apply(s events.Step, inv events.Inventory, failing map[events.PackageName]bool) error {
	targets := s.Targets
	if s.Op == events.OpUpgrade && len(targets) == 0 {
		for k, st := range inv {
			if st.Installed() && !st.Held() {
				targets = append(targets, events.Target{PackageRef: events.PackageRef{Name: k.Name}})
			}
		}
		slices.SortFunc(targets, func(a, b events.Target) int { return compare(a.Name, b.Name) })
	}
	for _, target := range targets {
		if err := m.applyOne(s, target, inv, failing); err != nil {
			return err
		}
	}
	return nil
}

func compare(a, b events.PackageName) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (m *Fake) applyOne(s events.Step, target events.Target, inv events.Inventory, failing map[events.PackageName]bool) error {
	k := packageKey(target.Name)
	now := inv[k]
	version := target.Version
	if offers := m.offers[target.Name]; version == "" && len(offers) > 0 {
		version = offers[len(offers)-1]
	}
	op := s.Op
	if op == events.OpInstall && target.Remove {
		op = events.OpRemove
	}
	switch op {
	case events.OpInstall, events.OpUpgrade:
		if op == events.OpUpgrade && !now.Installed() {
			return nil
		}
		st := Installed(version)
		if failing[target.Name] {
			st.Status = events.StatusHalfConfigured
		}
		inv[k] = st
		if failing[target.Name] {
			return fmt.Errorf("%s: post-installation script failed", target.Name)
		}
	case events.OpRemove:
		if now.Known() && now.Status != events.StatusConfigFiles {
			now.Want, now.Status, now.Auto = events.WantDeinstall, events.StatusConfigFiles, false
			inv[k] = now
		}
	case events.OpPurge, events.OpPurgeLeftovers:
		delete(inv, k)
	case events.OpRestore:
	case events.OpHold, events.OpUnhold, events.OpMarkAuto, events.OpMarkManual:
		if now.Installed() {
			inv[k] = withMark(now, op)
		}
	}
	return nil
}

func withMark(s events.State, op events.Op) events.State {
	switch op {
	case events.OpHold:
		s.Want = events.WantHold
	case events.OpUnhold:
		s.Want = events.WantInstall
	case events.OpMarkAuto, events.OpMarkManual:
		s.Auto = op == events.OpMarkAuto
	case events.OpInstall, events.OpRemove, events.OpPurge, events.OpUpgrade, events.OpPurgeLeftovers:
	}
	return s
}

// StepArgv names the fake, the operation and the packages.
func (m *Fake) StepArgv(s events.Step) []string {
	argv := []string{"fakeapt", string(s.Op)}
	for _, t := range s.Targets {
		argv = append(argv, t.PackageRef.String())
	}
	return argv
}

// Run carries out one step.
func (m *Fake) Run(ctx context.Context, s events.Step, o machine.RunOptions) (machine.StepResult, error) {
	m.mu.Lock()
	m.runs[o.Label]++
	gate, entered := m.blocked, m.entered
	m.mu.Unlock()
	if gate != nil {
		entered <- o.Label
		select {
		case <-gate:
		case <-ctx.Done():
			return machine.StepResult{}, ctx.Err()
		}
	}
	o.OnProgress(events.Progress{Stage: events.StageApply, Percent: 50})
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.apply(s, m.state, m.failing); err != nil {
		return machine.StepResult{ExitCode: 100, Output: err.Error() + "\n"}, &events.Error{Op: "fakeapt.Run", Kind: events.ErrApt, Err: err, Hint: "see the output"}
	}
	return machine.StepResult{Output: "done\n"}, nil
}

// WaitForLock never waits: there is no other package manager.
func (m *Fake) WaitForLock(ctx context.Context, _ time.Duration, _ func(machine.LockHolder, time.Duration)) error {
	return ctx.Err()
}

// DpkgInterrupted returns false.
func (m *Fake) DpkgInterrupted(context.Context) (bool, error) { return false, nil }

// Recover has nothing to do.
func (m *Fake) Recover(context.Context) ([]string, error) { return nil, nil }

// OfferedVersions returns the offered versions.
func (m *Fake) OfferedVersions(_ context.Context, names []events.PackageName) (map[events.PackageKey][]events.Version, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[events.PackageKey][]events.Version{}
	for _, n := range names {
		out[packageKey(n)] = m.offers[n]
	}
	return out, nil
}

// DataPaths returns none.
func (m *Fake) DataPaths(context.Context, []events.PackageName) (map[events.PackageName][]string, error) {
	return nil, nil
}

// Services returns none.
func (m *Fake) Services(context.Context, []events.PackageKey) ([]string, error) { return nil, nil }

// ConffileRegistry is empty: the packages have no files.
func (m *Fake) ConffileRegistry(context.Context) (map[events.PackageKey]string, error) {
	return nil, nil
}

// ApplySetting does nothing.
func (m *Fake) ApplySetting(context.Context, events.SettingChange) error { return nil }

// FetchDeb fails: there are no package files.
func (m *Fake) FetchDeb(context.Context, events.PackageKey, events.Version, func(string) error) error {
	return &events.Error{Op: "fakeapt.FetchDeb", Kind: events.ErrNotFound, Err: errors.New("there are no package files")}
}

// InputFingerprint covers the packages and the offered versions.
func (m *Fake) InputFingerprint() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprint(m.state.Hash(), m.offers)
}

// ListsEmpty returns false.
func (m *Fake) ListsEmpty() bool { return false }

// Refresh does nothing.
func (m *Fake) Refresh(context.Context, func(events.Progress)) error { return nil }
