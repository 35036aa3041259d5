// Package openindex opens the package index of this machine. It knows the path of the
// index, the package lists that it is built from, and when it must be rebuilt.
//
// It promises: the caller learns whether an opened index matches the current package
// lists; a user who may not write the system's index gets a separate index instead of an error.
package openindex

import (
	"context"
	"os"
	"path/filepath"

	"cortex/cmd/config"
	"cortex/embedded/pkgindex"
	"cortex/events"
)

// Location has the paths of the index and of its sources.
type Location struct {
	WritablePath string   // the index that this user may write
	SystemPath   string   // the system's index if it is another one, or ""
	ListDirs     []string // directories of apt's lists and of the Translation files
}

// LocationFor returns the paths for these settings. env looks up environment variables.
func LocationFor(s config.Settings, env func(string) string) Location {
	p := Location{WritablePath: s.PackageIndexFile(), ListDirs: []string{filepath.Join(s.Root, "var/lib/apt/lists"), s.DescriptionListsDir()}}
	if s.UID != 0 && s.IsSystem() {
		p.SystemPath, p.WritablePath = p.WritablePath, s.ForUser(env).PackageIndexFile()
	}
	return p
}

// Open opens the index. It first builds an index that is missing or out of date, which
// takes seconds, and calls progress with messages about the build. If the build fails it
// opens an outdated index, if there is one, and fresh is false.
func Open(ctx context.Context, p Location, progress func(string)) (c *pkgindex.Index, fresh bool, err error) {
	if c := OpenFresh(ctx, p); c != nil {
		return c, true, nil
	}
	build := pkgindex.Build(ctx, pkgindex.Config{Dirs: p.ListDirs, Path: p.WritablePath, Progress: progress})
	if build == nil {
		c, err := pkgindex.Open(ctx, p.WritablePath)
		return c, err == nil, err
	}
	for _, path := range p.existingPaths() {
		if c, err := pkgindex.Open(ctx, path); err == nil {
			return c, false, nil
		}
	}
	return nil, false, &events.Error{Op: "openindex.Open", Kind: events.ErrUnavailable, Subject: "package index", Err: build, Hint: events.HintOf(build)}
}

// OpenFresh opens an index that is up to date. It returns nil if there is none.
func OpenFresh(ctx context.Context, p Location) *pkgindex.Index {
	for _, path := range p.existingPaths() {
		c, err := pkgindex.Open(ctx, path)
		if err != nil {
			continue
		}
		if c.UpToDate(p.ListDirs) {
			return c
		}
		_ = c.Close()
	}
	return nil
}

// HasNoLists reports whether there are no package lists to build an index from.
func HasNoLists(p Location) bool {
	empty, err := pkgindex.Fingerprint(nil)
	current, err2 := pkgindex.Fingerprint(p.ListDirs)
	return err != nil || err2 != nil || current == empty
}

func (p Location) existingPaths() []string {
	var out []string
	for _, path := range []string{p.SystemPath, p.WritablePath} {
		if path == "" {
			continue
		}
		if _, err := os.Stat(path); err == nil {
			out = append(out, path)
		}
	}
	return out
}
