package projections

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"cortex/internal/atomicfile"
)

// generationFiles are the files of one read model:
//
//	NAME.db        a symbolic link to the live generation
//	NAME-7.db      a generation, with its -wal and -shm
//	NAME-verify.db a temporary copy for a comparison
//
// The name of a generation is not reused while a file of it exists, so that a -wal is
// never read with another database.
type generationFiles struct{ dir, name string }

const verifyGeneration = "verify"

// sidecars are the suffixes of the files that SQLite creates for a database.
var sidecars = []string{"", "-wal", "-shm", "-journal"}

func (f generationFiles) link() string { return filepath.Join(f.dir, f.name+".db") }

func (f generationFiles) baseName(generation string) string { return f.name + "-" + generation + ".db" }

func (f generationFiles) path(generation string) string {
	return filepath.Join(f.dir, f.baseName(generation))
}

// liveGeneration returns the generation that the link names. The error is fs.ErrNotExist
// if the link or the file is missing. A link to any other file is an error too.
func (f generationFiles) liveGeneration() (string, error) {
	target, err := os.Readlink(f.link())
	if err != nil {
		if info, statErr := os.Lstat(f.link()); statErr == nil && info.Mode()&fs.ModeSymlink == 0 {
			return "", errors.New("its link is a file")
		}
		return "", err
	}
	generation, ok := f.parseGeneration(target)
	if !ok || generation == verifyGeneration {
		return "", fmt.Errorf("its link points to %s", target)
	}
	info, err := os.Lstat(f.path(generation))
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", target)
	}
	return generation, nil
}

// parseGeneration reads the generation from a base name. ok is false for the name of a
// sidecar.
func (f generationFiles) parseGeneration(base string) (string, bool) {
	rest, ok := strings.CutPrefix(base, f.name+"-")
	if !ok {
		return "", false
	}
	generation, ok := strings.CutSuffix(rest, ".db")
	if !ok || generation != verifyGeneration && strings.Trim(generation, "0123456789") != "" || generation == "" {
		return "", false
	}
	return generation, true
}

// generations lists the generations that have at least one file.
func (f generationFiles) generations() ([]string, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var out []string
	for _, e := range entries {
		base := e.Name()
		for _, suffix := range sidecars[1:] {
			base = strings.TrimSuffix(base, suffix)
		}
		if g, ok := f.parseGeneration(base); ok && !seen[g] {
			seen[g] = true
			out = append(out, g)
		}
	}
	return out, nil
}

// nextGeneration returns the number of a generation without files.
func (f generationFiles) nextGeneration() (string, error) {
	all, err := f.generations()
	if err != nil {
		return "", err
	}
	highest := uint64(0)
	for _, g := range all {
		if n, err := strconv.ParseUint(g, 10, 63); err == nil {
			highest = max(highest, n)
		}
	}
	return strconv.FormatUint(highest+1, 10), nil
}

// remove deletes the files of a generation. A process that has them open can use them
// until it closes them.
func (f generationFiles) remove(generation string) error {
	var errs []error
	for _, suffix := range sidecars {
		if err := os.Remove(f.path(generation) + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// removeExcept deletes every generation that is not in keep.
func (f generationFiles) removeExcept(keep ...string) error {
	all, err := f.generations()
	if err != nil {
		return err
	}
	var errs []error
	for _, g := range all {
		if !slices.Contains(keep, g) {
			errs = append(errs, f.remove(g))
		}
	}
	return errors.Join(errs...)
}

// setLive points the link to a generation with one rename.
func (f generationFiles) setLive(generation string) error {
	if err := atomicfile.Symlink(f.link(), f.baseName(generation), atomicfile.Options{Temp: filepath.Base(f.link()) + ".new"}); err != nil {
		return err
	}
	for _, suffix := range sidecars[1:] { // left by a file in place of the link
		if err := os.Remove(f.link() + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return atomicfile.Sync(f.dir)
}
