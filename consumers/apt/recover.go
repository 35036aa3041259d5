package apt

import (
	"context"
	"fmt"
	"os"
	"strings"

	"cortex/events"
)

// Recover brings dpkg back to a consistent state after an interruption. It waits
// for a package manager that is still running, however long that takes, then
// finishes what dpkg has begun where there is something to finish. It lists what
// it did, in words.
func (m *Machine) Recover(ctx context.Context) (did []string, err error) {
	waited, err := m.waitForOrphans(ctx)
	if err != nil {
		return nil, fmt.Errorf("wait for a running step: %w", err)
	}
	if waited {
		did = append(did, "waited for the running step to end")
	}
	if err := m.WaitForLock(ctx, 0, nil); err != nil {
		return did, err
	}
	broken, err := m.unfinished(ctx)
	if err != nil || !broken {
		return did, err
	}
	argv := []string{"dpkg", "--force-confdef", "--force-confold", "--configure", "-a"}
	result, err := m.runRaw(ctx, argv)
	if ctx.Err() != nil {
		return did, ctx.Err()
	}
	did = append(did, strings.Join(argv, " "))
	if err != nil {
		return did, &events.Error{Op: "apt.Recover", Kind: events.ErrApt, Subject: "dpkg --configure -a", Err: fmt.Errorf("%s", complaint(result, err))}
	}
	return did, nil
}

// unfinished reports whether dpkg's journal or a package's state says that
// something was cut off.
func (m *Machine) unfinished(ctx context.Context) (bool, error) {
	journal, err := os.ReadDir(m.path("/var/lib/dpkg/updates"))
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

// runRaw runs a constant command like a step, without progress.
func (m *Machine) runRaw(ctx context.Context, argv []string) (output string, err error) {
	files, err := m.openFiles("recover")
	if err != nil {
		return "", err
	}
	defer files.close()
	cmd := m.command(argv...)
	cmd.Stdout, cmd.Stderr = files.output, files.output
	cmd.ExtraFiles = []*os.File{files.status, files.lock}
	if err := cmd.Start(); err != nil {
		return "", unavailable(argv[0], err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	err = files.watch(ctx, ended, nil)
	return files.readOutput(), err
}

// Refresh fetches apt's package lists.
func (m *Machine) Refresh(ctx context.Context, tell func(events.Progress)) error {
	tell(events.Progress{Stage: events.StageRefresh, Percent: -1, Message: "fetching package lists"})
	argv := []string{"apt-get", "-q", "-o", "DPkg::Lock::Timeout=60", "-o", "Acquire::Retries=3", "update"}
	output, err := m.runRaw(ctx, argv)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return &events.Error{Op: "apt.Refresh", Kind: events.ErrApt, Subject: "apt-get update", Err: fmt.Errorf("%s", complaint(output, err)), Hint: "look at the network and at /etc/apt/sources.list"}
	}
	return nil
}
