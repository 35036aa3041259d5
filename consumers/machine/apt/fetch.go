package apt

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"

	"cortex/events"
)

// fetchDir is the directory, inside the root, for downloads of package files.
const fetchDir = "/var/cache/cortex/fetch"

// OfferedVersions returns the versions of the named packages that any source offers.
func (m *Machine) OfferedVersions(ctx context.Context, names []events.PackageName) (map[events.PackageKey][]events.Version, error) {
	if len(names) == 0 {
		return nil, nil
	}
	var refs []events.PackageRef
	for _, n := range names {
		if err := n.Validate(); err != nil {
			return nil, err
		}
		refs = append(refs, events.PackageRef{Name: n})
	}
	out, err := m.runReadOnly(ctx, versionsCommand(refs))
	if err != nil && events.KindOf(err) != events.ErrApt {
		return nil, err
	}
	native, err := m.NativeArch(ctx)
	if err != nil {
		return nil, err
	}
	offered := map[events.PackageKey][]events.Version{}
	for k, is := range parseShowpkg(string(out), native) {
		offered[k] = is.offered
	}
	return offered, nil
}

// FetchDeb fetches the package file of a package version, from apt's cache or a source,
// and calls keep with its path. An unavailable version is an ErrNotFound error. No
// package changes.
func (m *Machine) FetchDeb(ctx context.Context, k events.PackageKey, v events.Version, keep func(path string) error) error {
	ref := events.PackageRef{Name: k.Name, Arch: k.Arch, Version: v}
	if err := ref.Validate(); err != nil {
		return err
	}
	for _, arch := range []events.Architecture{k.Arch, "all"} {
		cached := m.hostPath(path.Join(archivesDir, debFileName(k.Name, v, arch)))
		if _, err := os.Lstat(cached); err == nil {
			return keep(cached)
		}
	}
	dir, err := m.makeTempDir(fetchDir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	native, err := m.NativeArch(ctx)
	if err != nil {
		return err
	}
	if k.Arch == native {
		ref.Arch = ""
	}
	cmd := m.prepare(downloadCommand(ref))
	cmd.Dir = strings.TrimPrefix(dir, strings.TrimSuffix(m.cfg.Root, "/"))
	child, err := m.start(cmd)
	if err != nil {
		return startError(aptGet, err)
	}
	failed := waitOrKill(ctx, child)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	found, _ := filepath.Glob(filepath.Join(dir, "*.deb"))
	if failed != nil || len(found) != 1 {
		return &events.Error{Op: "apt.FetchDeb", Kind: events.ErrNotFound, Subject: ref.String(), Err: errors.New("no source offers this version")}
	}
	return keep(found[0])
}

// makeTempDir creates a new directory below dir.
func (m *Machine) makeTempDir(dir string) (string, error) {
	err := os.MkdirAll(m.hostPath(dir), 0o755)
	var made string
	if err == nil {
		made, err = os.MkdirTemp(m.hostPath(dir), "")
	}
	if err != nil {
		return "", &events.Error{Op: "apt.makeTempDir", Kind: events.ErrFull, Subject: dir, Err: err, Hint: "check that the disk has free space"}
	}
	return made, nil
}
