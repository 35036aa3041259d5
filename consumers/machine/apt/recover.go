package apt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"cortex/consumers/machine"
	"cortex/events"
)

// Recover brings dpkg back to a consistent state after an interruption. It waits for a
// package manager that is still running, without a limit. Then it configures packages
// that are unpacked, and unpacks again packages whose unpacking was interrupted. It
// returns a description of each action.
func (m *Machine) Recover(ctx context.Context) (did []string, err error) {
	waited, err := m.waitForOrphans(ctx)
	if err != nil {
		return nil, fmt.Errorf("wait for a running step: %w", err)
	}
	if waited {
		did = append(did, "waited for the running step to end")
	}
	if err := m.waitForDpkg(ctx); err != nil {
		return did, err
	}
	if err := m.WaitForLock(ctx, 0, nil); err != nil {
		return did, err
	}
	if broken, err := m.hasUnfinished(ctx); err != nil || !broken {
		return did, err
	}
	configure := configureCommand()
	output, failed := m.runToEnd(ctx, "recover", configure)
	if ctx.Err() != nil {
		return did, ctx.Err()
	}
	did = append(did, configure.String())
	if failed != nil {
		failed = &events.Error{Op: "apt.Recover", Kind: events.ErrApt, Subject: "dpkg --configure -a", Err: errors.New(failureReason(output, failed))}
	}
	again, err := m.unpackAgain(ctx)
	if len(again) == 0 && err == nil {
		err = failed // no later step configured the packages
	}
	return append(did, again...), err
}

// DpkgInterrupted reports whether dpkg was interrupted: its journal is not empty, a
// package must be unpacked again, or packages wait to be configured although no
// maintainer script failed. A package whose script failed, and the packages that wait
// for it, do not count.
func (m *Machine) DpkgInterrupted(ctx context.Context) (bool, error) {
	journal, err := os.ReadDir(m.hostPath("/var/lib/dpkg/updates"))
	if err != nil && !os.IsNotExist(err) {
		return false, fmt.Errorf("read dpkg's journal: %w", err)
	}
	inv, err := m.Inventory(ctx)
	waits, failed := false, false
	for _, s := range inv {
		if s.Flag == events.FlagReinstreq {
			return true, err
		}
		switch s.Status {
		case events.StatusUnpacked, events.StatusTriggersPending, events.StatusTriggersAwaited:
			waits = true
		case events.StatusHalfConfigured, events.StatusHalfInstalled:
			failed = true
		case events.StatusInstalled, events.StatusConfigFiles, events.StatusNotInstalled:
		}
	}
	return len(journal) > 0 || waits && !failed, err
}

// unpackAgain reinstalls packages whose unpacking was interrupted: dpkg neither
// configures nor removes them.
func (m *Machine) unpackAgain(ctx context.Context) (did []string, err error) {
	inv, err := m.Inventory(ctx)
	if err != nil {
		return nil, err
	}
	step := events.Step{Op: events.OpInstall, Reinstall: true, NoRecommends: true, AllowHeld: true, AllowDowngrade: true}
	for _, p := range inv.Packages() {
		if p.Flag == events.FlagReinstreq {
			target := events.Target{PackageRef: events.PackageRef{Name: p.Name, Arch: p.Arch, Version: p.Version}}
			if m.cfg.FindDeb != nil {
				stored, _ := m.cfg.FindDeb(p.PackageKey, p.Version)
				target.Deb = stored.Digest
			}
			step.Targets = append(step.Targets, target)
		}
	}
	if len(step.Targets) == 0 {
		return nil, nil
	}
	plan, err := m.Simulate(ctx, []events.Step{step})
	if err != nil {
		return nil, err
	}
	for _, c := range plan.Changes {
		if c.Action == events.ActionRemove || c.Action == events.ActionPurge {
			return nil, &events.Error{
				Op: "apt.unpackAgain", Kind: events.ErrApt, Subject: string(step.Targets[0].Name),
				Err: fmt.Errorf("the package must be reinstalled, which would remove %s", c.Name), Hint: "see 'apt-get --fix-broken install'",
			}
		}
	}
	result, err := m.Run(ctx, step, machine.RunOptions{Label: "recover"})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return []string{strings.Join(result.Argv, " ")}, err
}

// hasUnfinished reports whether dpkg's journal or the state of a package shows an
// interruption or a failure.
func (m *Machine) hasUnfinished(ctx context.Context) (bool, error) {
	journal, err := os.ReadDir(m.hostPath("/var/lib/dpkg/updates"))
	if err != nil && !os.IsNotExist(err) {
		return false, fmt.Errorf("read dpkg's journal: %w", err)
	}
	if len(journal) > 0 {
		return true, nil
	}
	inv, err := m.Inventory(ctx)
	if err != nil {
		return false, err
	}
	for _, s := range inv {
		switch s.Status {
		case events.StatusHalfInstalled, events.StatusUnpacked, events.StatusHalfConfigured, events.StatusTriggersAwaited, events.StatusTriggersPending:
			return true, nil
		case events.StatusInstalled, events.StatusConfigFiles, events.StatusNotInstalled:
		}
	}
	return false, nil
}

// runToEnd runs a command like a step, without progress.
func (m *Machine) runToEnd(ctx context.Context, label string, c command) (output string, err error) {
	files, err := m.openFiles(label)
	if err != nil {
		return "", err
	}
	defer files.close()
	_, ended, err := m.launch(c, files)
	if err != nil {
		files.removeAndUnlock()
		return "", err
	}
	if err = files.watch(ctx, ended, nil); ctx.Err() != nil {
		return "", ctx.Err()
	}
	output = files.readOutput()
	files.removeAndUnlock()
	return output, err
}

// Refresh fetches apt's package lists.
func (m *Machine) Refresh(ctx context.Context, report func(events.Progress)) error {
	if report != nil {
		report(events.Progress{Stage: events.StageRefresh, Percent: -1, Message: "fetching package lists"})
	}
	output, err := m.runToEnd(ctx, "refresh", updateCommand())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return &events.Error{Op: "apt.Refresh", Kind: events.ErrApt, Subject: "apt-get update", Err: fmt.Errorf("%s", failureReason(output, err)), Hint: "check the network and /etc/apt/sources.list"}
	}
	return nil
}
