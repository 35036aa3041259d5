// Package words opens this machine's index of packages: where it lies, from which
// lists it is made, and when it is made anew.
//
// It promises that an index that was opened fits the lists as they are, or says
// that it does not, and that nobody who may not write the system's index needs to.
package words

import (
	"context"
	"os"
	"path/filepath"

	"cortex/cmd/settings"
	"cortex/embedded/catalog"
	"cortex/events"
)

// Place is where the index and what it is made of lie.
type Place struct {
	Own   string   // the index that this user may write
	Other string   // the system's, when it is another; "" otherwise
	Dirs  []string // apt's lists, and private ones with long descriptions
}

// Of gives the places for these settings; cache is the user's cache directory.
func Of(s settings.Settings, env func(string) string) Place {
	p := Place{Own: s.Catalog(), Dirs: []string{filepath.Join(s.Root, "var/lib/apt/lists"), s.Lists()}}
	if s.UID != 0 && s.System() {
		p.Other, p.Own = p.Own, s.Own(env).Catalog()
	}
	return p
}

// Open opens the index. One that is missing or out of date is built first, which
// takes seconds; tell receives what is going on. When it cannot be built, an old
// one is better than none: then fresh is false.
func Open(ctx context.Context, p Place, tell func(string)) (c *catalog.Catalog, fresh bool, err error) {
	if c := Ready(ctx, p); c != nil {
		return c, true, nil
	}
	build := catalog.Build(ctx, catalog.Config{Dirs: p.Dirs, Path: p.Own, Tell: tell})
	if build == nil {
		c, err := catalog.Open(ctx, p.Own)
		return c, err == nil, err
	}
	for _, path := range p.paths() {
		if c, err := catalog.Open(ctx, path); err == nil {
			return c, false, nil
		}
	}
	return nil, false, &events.Error{Op: "words.Open", Kind: events.ErrUnavailable, Subject: "the index of packages", Err: build, Hint: events.HintOf(build)}
}

// Ready opens the index when it is there and up to date, and nil otherwise.
func Ready(ctx context.Context, p Place) *catalog.Catalog {
	for _, path := range p.paths() {
		c, err := catalog.Open(ctx, path)
		if err != nil {
			continue
		}
		if c.Fresh(p.Dirs) {
			return c
		}
		_ = c.Close()
	}
	return nil
}

// Empty reports whether there are no lists to make an index from.
func Empty(p Place) bool {
	none, err := catalog.Fingerprint(nil)
	mark, err2 := catalog.Fingerprint(p.Dirs)
	return err != nil || err2 != nil || mark == none
}

func (p Place) paths() []string {
	var out []string
	for _, path := range []string{p.Other, p.Own} {
		if path == "" {
			continue
		}
		if _, err := os.Stat(path); err == nil {
			out = append(out, path)
		}
	}
	return out
}
