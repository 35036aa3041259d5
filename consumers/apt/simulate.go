package apt

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
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

// printURIs runs apt with the step's own arguments, but only to print what it
// would fetch, with the hook listening. What apt would refuse without a further
// yes (holds, downgrades, essential packages) is allowed here, so that the plan
// can be seen; the step itself does not get these.
func (m *Machine) printURIs(ctx context.Context, s events.Step) (hook []byte, text string, err error) {
	s.AllowDowngrade = true
	s.AllowHeld = s.AllowHeld || s.Op != events.OpUpgrade || len(s.Targets) > 0
	argv := Argv(s)
	argv = slices.Insert(argv, 1, "--print-uris", "--allow-remove-essential",
		"-o", "APT::Keep-Fds::=4",
		"-o", "AptCli::Hooks::Install::="+hookScript,
		"-o", "AptCli::Hooks::Upgrade::="+hookScript)
	pipeR, pipeW, err := os.Pipe()
	if err != nil {
		return nil, "", err
	}
	defer pipeR.Close()
	cmd := m.command(argv...)
	null, err := os.Open(os.DevNull)
	if err != nil {
		pipeW.Close()
		return nil, "", err
	}
	defer null.Close()
	cmd.ExtraFiles = []*os.File{null, pipeW} // descriptors 3 and 4
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Start()
	pipeW.Close()
	if err != nil {
		return nil, "", unavailable(argv[0], err)
	}
	heard := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(pipeR)
		heard <- b
	}()
	err = waitRead(ctx, cmd)
	hook = <-heard
	if ctx.Err() != nil {
		return nil, "", ctx.Err()
	}
	if err != nil {
		return nil, "", planError(s, out.String(), err)
	}
	return hook, out.String(), nil
}

// waitRead waits for a child that only reads; it may be killed.
func waitRead(ctx context.Context, cmd *exec.Cmd) error {
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		_ = cmd.Process.Kill()
		<-done
		return ctx.Err()
	}
}

