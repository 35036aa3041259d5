package events

import (
	"errors"
	"fmt"
	"path"
)

// Manifest says what a machine shall be. It is part of the [Intent] of an import,
// which intake appends; the planner compares it with the machine. What it does not
// name stays as it is.
type Manifest struct {
	// Packages are installed, in the version given if any, and marked as asked for.
	Packages []PackageRef `json:"packages,omitempty"`
	// Holds are on hold afterwards; what is in Packages and not in Holds is not.
	Holds []PackageRef `json:"holds,omitempty"`
	// Files are apt's own, put in place as they are. A manifest has either files or
	// packages: what sources offer is known only once they are there.
	Files []ManifestFile `json:"files,omitempty"`
}

// ManifestFile is a list of sources, a key or preferences of apt.
type ManifestFile struct {
	Path    string `json:"path"`
	Content []byte `json:"content"`
}

// ValidateAptPath reports whether the path is one where apt reads sources, keys or
// preferences, under /etc.
func ValidateAptPath(p string) error {
	if err := ValidatePath(p); err != nil {
		return err
	}
	switch dir, base := path.Split(p); dir {
	case "/etc/apt/":
		if base == "sources.list" || base == "preferences" {
			return nil
		}
	case "/etc/apt/sources.list.d/", "/etc/apt/preferences.d/", "/etc/apt/keyrings/", "/etc/apt/trusted.gpg.d/":
		return nil
	}
	return errors.New("is not a file of apt's sources, keys or preferences")
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
	if len(m.Files) > 0 && len(m.Packages)+len(m.Holds) > 0 {
		add("a manifest is asked for in two parts: first its files, then its packages")
	}
	if len(m.Files) > MaxFilesPerManifest {
		add("the manifest has %d files, more than %d", len(m.Files), MaxFilesPerManifest)
	}
	size := 0
	for _, f := range m.Files {
		if err := ValidateAptPath(f.Path); err != nil {
			add("%q: %w", f.Path, err)
		}
		size += len(f.Content)
	}
	if size > MaxManifestFileBytes {
		add("the manifest's files are %d bytes, more than %d", size, MaxManifestFileBytes)
	}
	return errors.Join(errs...)
}
