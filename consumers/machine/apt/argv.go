package apt

import (
	"strconv"
	"time"

	"cortex/events"
)

// lockTimeout is how long apt itself waits for a lock that somebody took between
// our look and its own.
const lockTimeout = time.Minute

// aptOptions are given to every run of apt-get that may change something: never
// ask, keep what the person edited, wait for the lock.
func aptOptions() []string {
	return []string{
		"-y", "-q",
		"-o", "Dpkg::Options::=--force-confdef",
		"-o", "Dpkg::Options::=--force-confold",
		"-o", "Dpkg::Use-Pty=0",
		"-o", "DPkg::Lock::Timeout=" + strconv.Itoa(int(lockTimeout/time.Second)),
		"-o", "APT::Get::AutomaticRemove=false",
		"-o", "APT::Get::HideAutoRemove=true",
		"-o", "Acquire::Retries=3",
	}
}

// Argv is the argument vector of a step: the only place where a step becomes a
// command. Names follow "--"; the versions and the trailing "-" of removals come
// from typed fields.
func Argv(s events.Step) []string {
	switch s.Op {
	case events.OpInstall:
		return aptGet(s, "install")
	case events.OpRemove:
		return aptGet(s, "remove")
	case events.OpPurge:
		return aptGet(s, "purge")
	case events.OpUpgrade:
		if len(s.Targets) == 0 {
			return aptGet(s, "upgrade", "--with-new-pkgs")
		}
		return aptGet(s, "install", "--only-upgrade")
	case events.OpPurgeLeftovers:
		return withNames([]string{"dpkg", "--purge", "--"}, s.Targets)
	case events.OpHold:
		return withNames([]string{"apt-mark", "hold", "--"}, s.Targets)
	case events.OpUnhold:
		return withNames([]string{"apt-mark", "unhold", "--"}, s.Targets)
	case events.OpMarkAuto:
		return withNames([]string{"apt-mark", "auto", "--"}, s.Targets)
	case events.OpMarkManual:
		return withNames([]string{"apt-mark", "manual", "--"}, s.Targets)
	case events.OpRestore: // carried out by the keeper, not by a program
	}
	return nil
}

// Plain reports whether the step only needs dpkg or apt-mark, which know no plan.
func needsNoPlanning(op events.Op) bool {
	switch op {
	case events.OpPurgeLeftovers, events.OpHold, events.OpUnhold, events.OpMarkAuto, events.OpMarkManual, events.OpRestore:
		return true
	case events.OpInstall, events.OpRemove, events.OpPurge, events.OpUpgrade:
		return false
	}
	return false
}

func aptGet(s events.Step, verb ...string) []string {
	argv := append([]string{"apt-get"}, aptOptions()...)
	for _, o := range []struct {
		on   bool
		flag string
	}{
		{s.Reinstall, "--reinstall"},
		{s.NoRecommends, "--no-install-recommends"},
		{s.AllowHeld, "--allow-change-held-packages"},
		{s.AllowDowngrade, "--allow-downgrades"},
	} {
		if o.on {
			argv = append(argv, o.flag)
		}
	}
	argv = append(argv, verb...)
	return withNames(append(argv, "--"), s.Targets)
}

func withNames(argv []string, targets []events.Target) []string {
	for _, t := range targets {
		name := t.PackageRef.String()
		switch {
		case t.Deb != "" && !t.Remove:
			name = debPath(t.Deb)
		case t.Remove:
			name = events.PackageRef{Name: t.Name, Arch: t.Arch}.String() + "-"
		}
		argv = append(argv, name)
	}
	return argv
}

// checkStep validates every name of a step once more, right before it runs.
func checkStep(s events.Step) error {
	for _, t := range s.Targets {
		if err := t.PackageRef.Validate(); err != nil {
			return err
		}
		if t.Deb != "" && t.Deb.Validate() != nil {
			return &events.Error{Op: "apt.check", Kind: events.ErrInternal, Subject: string(t.Name), Err: errNotRunnable}
		}
	}
	if s.Op != events.OpRestore && (Argv(s) == nil || len(s.Targets) == 0 && s.Op != events.OpUpgrade) {
		return &events.Error{Op: "apt.check", Kind: events.ErrInternal, Subject: string(s.Op), Err: errNotRunnable}
	}
	return nil
}
