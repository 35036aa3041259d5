package apt

import (
	"errors"

	"cortex/events"
)

var errNotRunnable = errors.New("no program can carry out this step")

// needsNoPlanning reports whether the step runs only dpkg or apt-mark, which make
// no plan.
func needsNoPlanning(op events.Op) bool {
	switch op {
	case events.OpPurgeLeftovers, events.OpHold, events.OpUnhold, events.OpMarkAuto, events.OpMarkManual, events.OpRestore:
		return true
	case events.OpInstall, events.OpRemove, events.OpPurge, events.OpUpgrade:
		return false
	}
	return false
}

// checkStep validates every name of a step again, right before it runs.
func checkStep(s events.Step) error {
	for _, t := range s.Targets {
		if err := t.PackageRef.Validate(); err != nil {
			return err
		}
		if t.Deb != "" && t.Deb.Validate() != nil {
			return &events.Error{Op: "apt.checkStep", Kind: events.ErrInternal, Subject: string(t.Name), Err: errNotRunnable}
		}
	}
	_, runs := stepCommand(s)
	if s.Op != events.OpRestore && (!runs || len(s.Targets) == 0 && s.Op != events.OpUpgrade) {
		return &events.Error{Op: "apt.checkStep", Kind: events.ErrInternal, Subject: string(s.Op), Err: errNotRunnable}
	}
	return nil
}
