package pkgindex

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"

	"cortex/events"
)

// listKind is the kind of a file in apt's lists directory.
type listKind int

const (
	packagesList listKind = iota
	translationList
	dep11List
)

// list is one file of apt's lists.
type list struct {
	path string
	kind listKind
}

// readLists returns the lists in several directories. When two directories have a list of
// the same name, it returns the first one.
func readLists(dirs []string) ([]list, error) {
	var out []list
	seen := map[string]bool{}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read apt's lists: %w", err)
		}
		for _, e := range entries {
			name := strings.TrimSuffix(e.Name(), filepath.Ext(compressedName(e.Name())))
			kind, ok := listKindOf(name)
			if !ok || e.IsDir() || seen[name] {
				continue
			}
			seen[name] = true
			out = append(out, list{filepath.Join(dir, e.Name()), kind})
		}
	}
	slices.SortFunc(out, func(a, b list) int { return strings.Compare(filepath.Base(a.path), filepath.Base(b.path)) })
	return out, nil
}

// compressedName returns the name of a compressed file, and "" for other files.
func compressedName(name string) string {
	switch filepath.Ext(name) {
	case ".lz4", ".gz", ".xz":
		return name
	}
	return ""
}

func listKindOf(name string) (listKind, bool) {
	switch {
	case strings.HasSuffix(name, "Packages") && !strings.Contains(name, "source_"):
		return packagesList, true
	case strings.HasSuffix(name, "Translation-en"):
		return translationList, true
	case strings.Contains(name, "dep11_Components-") && strings.HasSuffix(name, ".yml"):
		return dep11List, true
	}
	return 0, false
}

// Fingerprint returns a hash of the names, sizes and modification times of the lists in the
// directories. An index with another fingerprint is out of date.
func Fingerprint(dirs []string) (string, error) {
	lists, err := readLists(dirs)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, version)
	for _, l := range lists {
		info, err := os.Stat(l.path)
		if err != nil {
			return "", fmt.Errorf("stat apt's lists: %w", err)
		}
		fmt.Fprintln(h, filepath.Base(l.path), info.Size(), info.ModTime().UnixNano())
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// open opens a list and decompresses it.
func (l list) open() (io.ReadCloser, error) {
	f, err := os.Open(l.path)
	if err != nil {
		return nil, fmt.Errorf("open a list: %w", err)
	}
	var r io.Reader = bufio.NewReaderSize(f, 1<<20)
	switch filepath.Ext(l.path) {
	case ".lz4":
		r = lz4.NewReader(r)
	case ".gz":
		r, err = gzip.NewReader(r)
	case ".xz":
		r, err = xz.NewReader(r)
	}
	if err != nil {
		f.Close()
		return nil, &events.Error{Op: "pkgindex.open", Kind: events.ErrCorrupt, Subject: l.path, Err: err, Hint: "run 'apt-get update'"}
	}
	return struct {
		io.Reader
		io.Closer
	}{r, f}, nil
}
