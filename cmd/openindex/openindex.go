// Package openindex opens this machine's index of packages: where it lies, from which
// lists it is made, and when it is made anew.
//
// It promises that an index that was opened fits the lists as they are, or says
// that it does not, and that nobody who may not write the system's index needs to.
package openindex

import (
	"context"
	"os"
	"path/filepath"

	"cortex/cmd/config"
	"cortex/embedded/pkgindex"
	"cortex/events"
)

// Location is where the index and what it is made of lie.
type Location struct {
	WritablePath string   // the index that this user may write
	SystemPath   string   // the system's, when it is another; "" otherwise
	ListDirs     []string // apt's lists, and private ones with long descriptions
}

// LocationFor gives the places for these settings; cache is the user's cache directory.
func LocationFor(s config.Settings, env func(string) string) Location {
	p := Location{WritablePath: s.PackageIndexFile(), ListDirs: []string{filepath.Join(s.Root, "var/lib/apt/lists"), s.DescriptionListsDir()}}
	if s.UID != 0 && s.IsSystem() {
		p.SystemPath, p.WritablePath = p.WritablePath, s.ForUser(env).PackageIndexFile()
	}
	return p
}

// Open opens the index. One that is missing or out of date is built first, which
// takes seconds; tell receives what is going on. When it cannot be built, an old
// one is better than none: then fresh is false.
func Open(ctx context.Context, p Location, tell func(string)) (c *pkgindex.Index, fresh bool, err error) {
	if c := OpenFresh(ctx, p); c != nil {
		return c, true, nil
	}
	build := pkgindex.Build(ctx, pkgindex.Config{Dirs: p.ListDirs, Path: p.WritablePath, Progress: tell})
	if build == nil {
		c, err := pkgindex.Open(ctx, p.WritablePath)
		return c, err == nil, err
	}
	for _, path := range p.existingPaths() {
		if c, err := pkgindex.Open(ctx, path); err == nil {
			return c, false, nil
		}
	}
	return nil, false, &events.Error{Op: "openindex.Open", Kind: events.ErrUnavailable, Subject: "the index of packages", Err: build, Hint: events.HintOf(build)}
}

// OpenFresh opens the index when it is there and up to date, and nil otherwise.
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

// HasNoLists reports whether there are no lists to make an index from.
func HasNoLists(p Location) bool {
	none, err := pkgindex.Fingerprint(nil)
	mark, err2 := pkgindex.Fingerprint(p.ListDirs)
	return err != nil || err2 != nil || mark == none
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
