package app

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"cortex/cmd/openindex"
	"cortex/consumers/machine/apt"
	"cortex/embedded/pkgindex"
	"cortex/events"
)

// CatalogStatus describes the package search index. Its JSON form is 'cortex catalog status
// --json'.
type CatalogStatus struct {
	Version  int    `json:"version"`
	Path     string `json:"path"`
	Packages int    `json:"packages"`
	Sources  string `json:"sources"`
	Fresh    bool   `json:"fresh"`
}

// CatalogStatus describes the index in use. It fails with ErrNotFound if there is none.
func (s *Service) CatalogStatus(ctx context.Context) (CatalogStatus, error) {
	p := openindex.LocationFor(s.Settings, s.Env)
	for _, path := range []string{p.SystemPath, p.WritablePath} {
		if path == "" {
			continue
		}
		c, err := pkgindex.Open(ctx, path)
		if err != nil {
			continue
		}
		defer c.Close()
		return CatalogStatus{1, path, c.PackageCount(), c.Sources(), c.UpToDate(p.ListDirs)}, nil
	}
	return CatalogStatus{}, &events.Error{
		Op: "app.CatalogStatus", Kind: events.ErrNotFound, Subject: p.WritablePath, Err: errors.New("there is no package search index yet"),
		Hint: "the first search builds it; to build it now: cortex catalog build",
	}
}

// BuildCatalog builds the index from the package lists.
func (s *Service) BuildCatalog(ctx context.Context) (CatalogStatus, error) {
	p := openindex.LocationFor(s.Settings, s.Env)
	err := pkgindex.Build(ctx, pkgindex.Config{Dirs: p.ListDirs, Path: p.WritablePath, Progress: func(stage string) { s.Note(stage + "…") }})
	if err != nil {
		return CatalogStatus{}, err
	}
	return s.CatalogStatus(ctx)
}

// FetchCatalog fetches the long descriptions of all packages and builds the index. It needs
// root.
func (s *Service) FetchCatalog(ctx context.Context) (CatalogStatus, error) {
	if err := s.RequireRoot("fetching package descriptions"); err != nil {
		return CatalogStatus{}, err
	}
	if s.Settings.Root != "/" {
		return CatalogStatus{}, &events.Error{
			Op: "app.FetchCatalog", Kind: events.ErrUsage, Subject: "CORTEX_ROOT=" + s.Settings.Root,
			Err: errors.New("descriptions can be fetched only for the running system"), Hint: "unset CORTEX_ROOT",
		}
	}
	s.Note("fetching package lists with long descriptions…")
	machine := apt.New(apt.Config{Root: s.Settings.Root, WorkDir: s.Settings.WorkDir()})
	if err := machine.FetchLists(ctx, s.Settings.DescriptionListsDir()); err != nil {
		return CatalogStatus{}, err
	}
	return s.BuildCatalog(ctx)
}

// KnownPackages splits package references into those that the index or dpkg knows, and
// names that neither knows. Without an index it treats every reference as known.
func (s *Service) KnownPackages(ctx context.Context, refs []events.PackageRef) (known []events.PackageRef, unknown []string, err error) {
	index := openindex.OpenFresh(ctx, openindex.LocationFor(s.Settings, s.Env))
	if index == nil {
		return refs, nil, nil
	}
	defer index.Close()
	for _, ref := range refs {
		has := ref.Arch != "" || ref.Version != ""
		if !has {
			if has, err = index.Has(ctx, ref.Name); err != nil {
				return nil, nil, err
			}
		}
		if has || s.dpkgKnows(ref.Name) {
			known = append(known, ref)
		} else {
			unknown = append(unknown, string(ref.Name))
		}
	}
	return known, unknown, nil
}

// dpkgKnows reports whether dpkg has a file list of a package.
func (s *Service) dpkgKnows(name events.PackageName) bool {
	info := filepath.Join(s.Settings.Root, "var/lib/dpkg/info")
	found, err := filepath.Glob(filepath.Join(info, string(name)+":*.list"))
	return PathExists(filepath.Join(info, string(name)+".list")) || err == nil && len(found) > 0
}

// ExactPackages returns the package names that a phrase consists of, nil unless every part
// of it is a name.
func (s *Service) ExactPackages(ctx context.Context, phrase string) []string {
	index := openindex.OpenFresh(ctx, openindex.LocationFor(s.Settings, s.Env))
	if index == nil {
		return nil
	}
	defer index.Close()
	needs, err := index.Resolve(ctx, phrase)
	if err != nil {
		return nil
	}
	var names []string
	for _, n := range needs {
		if !n.ExactName || len(n.Candidates) == 0 {
			return nil
		}
		names = append(names, string(n.Candidates[0].Name))
	}
	return names
}

// PackageNamed reports whether apt knows a package whose name is exactly this command.
func (s *Service) PackageNamed(ctx context.Context, command string) (bool, error) {
	if events.PackageName(command).Validate() != nil {
		return false, nil
	}
	names, err := apt.New(apt.Config{Root: s.Settings.Root}).PackageNames(ctx, command)
	return slices.Contains(names, command), err
}

// PackageMatch is a package offered for completion.
type PackageMatch struct {
	Name, Description string
}

// PackagesWithPrefix lists at most limit packages whose names start with prefix. It asks
// the index, which takes milliseconds, and without one apt, which takes up to half a second.
func (s *Service) PackagesWithPrefix(ctx context.Context, prefix string, limit int) (out []PackageMatch, err error) {
	index := openindex.OpenFresh(ctx, openindex.LocationFor(s.Settings, s.Env))
	if index == nil {
		names, err := apt.New(apt.Config{Root: s.Settings.Root}).PackageNames(ctx, prefix)
		for _, n := range names {
			out = append(out, PackageMatch{Name: n})
		}
		return out, err
	}
	defer index.Close()
	found, err := index.WithPrefix(ctx, prefix, limit)
	for _, f := range found {
		out = append(out, PackageMatch{string(f.Name), f.Description})
	}
	return out, err
}

// InstalledWithPrefix lists the packages that dpkg knows and whose names start with prefix.
func (s *Service) InstalledWithPrefix(ctx context.Context, prefix string) ([]string, error) {
	inv, err := apt.New(apt.Config{Root: s.Settings.Root}).Inventory(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, p := range inv.Packages() {
		if p.Status != events.StatusNotInstalled && strings.HasPrefix(string(p.Name), prefix) {
			names = append(names, string(p.Name))
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
