package events

import (
	"errors"
	"fmt"
	"path"
)

// Manifest is the desired state of a machine. It is part of the [Intent] of an import;
// the planner compares it with the machine. Packages that it does not name are not
// changed.
type Manifest struct {
	// Packages are installed, in the given version if there is one, and marked as
	// manually installed.
	Packages []PackageRef `json:"packages,omitempty"`
	// Holds are on hold afterwards. Packages that are not in Holds are not.
	Holds []PackageRef `json:"holds,omitempty"`
	// Files are files of apt, written unchanged. A manifest has either files or
	// packages, because the packages of new sources are known only afterwards.
	Files []ManifestFile `json:"files,omitempty"`
}

// ManifestFile is a source list, a key or a preferences file of apt.
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
	return errors.New("not a source list, key or preferences file of apt")
}

// Validate returns every problem of the manifest, joined.
func (m Manifest) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if n := len(m.Packages); n > MaxPackagesPerManifest {
		add("the manifest names %d packages; at most %d are allowed", n, MaxPackagesPerManifest)
	}
	if n := len(m.Holds); n > MaxPackagesPerManifest {
		add("the manifest holds %d packages; at most %d are allowed", n, MaxPackagesPerManifest)
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
		add("a manifest has files or packages, not both: import the files first")
	}
	if len(m.Files) > MaxFilesPerManifest {
		add("the manifest has %d files; at most %d are allowed", len(m.Files), MaxFilesPerManifest)
	}
	size := 0
	for _, f := range m.Files {
		if err := ValidateAptPath(f.Path); err != nil {
			add("%q: %w", f.Path, err)
		}
		size += len(f.Content)
	}
	if size > MaxManifestFileBytes {
		add("the manifest's files have %d bytes; at most %d are allowed", size, MaxManifestFileBytes)
	}
	return errors.Join(errs...)
}
