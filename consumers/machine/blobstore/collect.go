package blobstore

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"cortex/events"
)

// Blob is one stored content.
type Blob struct {
	Digest events.Digest `json:"digest"`
	Secret bool          `json:"secret,omitempty"`
	Size   int64         `json:"size_b"` // on disk
	Time   time.Time     `json:"time"`   // when it was stored
	Debs   []string      `json:"debs,omitempty"`
}

// List lists all contents, the oldest first.
func (v *Blobs) List() ([]Blob, error) {
	names := map[events.Digest][]string{}
	links, err := os.ReadDir(filepath.Join(v.dir, debsDir))
	if err != nil {
		return nil, storeError("List", v.dir, err)
	}
	for _, l := range links {
		if target, err := os.Readlink(filepath.Join(v.dir, debsDir, l.Name())); err == nil && !strings.Contains(l.Name(), tempPrefix) {
			d := events.Digest(filepath.Base(target))
			names[d] = append(names[d], l.Name())
		}
	}
	var out []Blob
	for _, part := range []string{contentsDir, secretsDir} {
		files, err := os.ReadDir(filepath.Join(v.dir, part))
		if err != nil {
			return nil, storeError("List", v.dir, err)
		}
		for _, f := range files {
			info, err := f.Info()
			d := events.Digest(f.Name())
			if errors.Is(err, fs.ErrNotExist) || d.Validate() != nil {
				continue
			}
			if err != nil {
				return nil, storeError("List", f.Name(), err)
			}
			item := Blob{Digest: d, Secret: part == secretsDir, Size: info.Size(), Time: storedAt(info)}
			if part == contentsDir {
				item.Debs = names[d]
			}
			out = append(out, item)
		}
	}
	slices.SortFunc(out, func(a, b Blob) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Digest, b.Digest)) })
	return out, nil
}

// storedAt returns the time when a content was stored: its ctime, because a hard link
// keeps the mtime of the original file.
func storedAt(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Ctim.Unix())
	}
	return info.ModTime()
}

// Verify reads every content and lists those that do not match their digest, and
// package files whose content is missing.
func (v *Blobs) Verify() (checked int, problems []string, err error) {
	items, err := v.List()
	if err != nil {
		return 0, nil, err
	}
	for _, item := range items {
		checked++
		if item.Secret {
			if _, err := v.Get(item.Digest, true); err != nil {
				problems = append(problems, "secret content "+string(item.Digest)+" is damaged")
			}
			continue
		}
		if err := v.CheckDeb(item.Digest); err != nil {
			problems = append(problems, strings.TrimSpace("content "+string(item.Digest)+" is damaged "+strings.Join(item.Debs, " ")))
		}
	}
	links, err := os.ReadDir(filepath.Join(v.dir, debsDir))
	if err != nil {
		return checked, problems, storeError("Verify", v.dir, err)
	}
	for _, l := range links {
		if _, err := os.Stat(filepath.Join(v.dir, debsDir, l.Name())); errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, "package file "+l.Name()+" is missing")
		}
	}
	return checked, problems, nil
}

// Collect removes the contents for which keep returns false, and returns them. Contents
// that were stored after since stay: no event may name them yet.
func (v *Blobs) Collect(keep func(Blob) bool, since time.Time) (removed []Blob, err error) {
	items, err := v.List()
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		if keep(item) || item.Time.After(since) {
			continue
		}
		path := v.contentPath(item.Digest)
		if item.Secret {
			path = v.secretPath(item.Digest)
		}
		for _, name := range item.Debs {
			_ = os.Remove(filepath.Join(v.dir, debsDir, name))
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, storeError("Collect", path, err)
		}
		removed = append(removed, item)
	}
	return removed, v.removeTemps(since)
}

// removeTemps removes the temporary files of processes that died.
func (v *Blobs) removeTemps(since time.Time) error {
	for _, part := range []string{contentsDir, secretsDir, debsDir, "."} {
		files, err := os.ReadDir(filepath.Join(v.dir, part))
		if err != nil {
			return storeError("Collect", v.dir, err)
		}
		for _, f := range files {
			info, err := f.Info()
			if err == nil && strings.Contains(f.Name(), tempPrefix) && info.ModTime().Before(since) {
				_ = os.Remove(filepath.Join(v.dir, part, f.Name()))
			}
		}
	}
	return nil
}

// hashReader returns the digest of everything that it reads from r.
func hashReader(r io.Reader) (events.Digest, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return events.Digest(hex.EncodeToString(h.Sum(nil))), nil
}
