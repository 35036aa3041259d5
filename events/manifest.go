package events

import (
	"errors"
	"fmt"
)

// Manifest says what a machine shall be. It is part of the [Intent] of an import,
// which intake appends; the planner compares it with the machine. What it does not
// name stays as it is.
type Manifest struct {
	// Packages are installed, in the version given if any, and marked as asked for.
	Packages []PackageRef `json:"packages,omitempty"`
	// Holds are on hold afterwards; what is in Packages and not in Holds is not.
	Holds []PackageRef `json:"holds,omitempty"`
}

// Validate reports every problem of the manifest, joined.
func (m Manifest) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if n := len(m.Packages); n > MaxPackagesPerManifest {
		add("the manifest names %d packages, more than %d", n, MaxPackagesPerManifest)
	}
	if n := len(m.Holds); n > MaxPackagesPerManifest {
		add("the manifest holds %d packages, more than %d", n, MaxPackagesPerManifest)
	}
	seen := map[PackageRef]bool{}
	for _, r := range m.Packages {
		errs = append(errs, r.Validate())
		if r.Version = ""; seen[r] {
			add("the manifest names %s twice", r)
		}
		seen[r] = true
	}
	for _, r := range m.Holds {
		errs = append(errs, r.Validate())
		if r.Version != "" {
			add("%s: a hold has no version", r)
		}
	}
	return errors.Join(errs...)
}
