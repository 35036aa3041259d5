package blobstore

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"cortex/events"
	"cortex/internal/atomicfile"
)

// PutDeb stores the package file at path as the file of a package version: as a hard
// link if path is on the same file system, else as a copy. Two builds of one version
// are two contents; [Blobs.Deb] finds the newest.
func (v *Blobs) PutDeb(k events.PackageKey, version events.Version, path string) (events.Deb, error) {
	f, err := os.Open(path)
	if err != nil {
		return events.Deb{}, storeError("PutDeb", path, err)
	}
	defer f.Close()
	digest, err := hashReader(f)
	if err != nil {
		return events.Deb{}, storeError("PutDeb", path, err)
	}
	info, err := f.Stat()
	if err != nil {
		return events.Deb{}, storeError("PutDeb", path, err)
	}
	deb := events.Deb{PackageKey: k, Version: version, Digest: digest, Size: info.Size()}
	if err := v.storeFile(f, path, v.contentPath(deb.Digest)); err != nil {
		return events.Deb{}, storeError("PutDeb", path, err)
	}
	return deb, v.linkDebName(deb)
}

// storeFile stores the open file as a content.
func (v *Blobs) storeFile(f *os.File, path, content string) error {
	if _, err := os.Lstat(content); err == nil {
		return nil
	}
	if os.Link(path, content) == nil {
		return errors.Join(f.Sync(), atomicfile.Sync(filepath.Dir(content)))
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return atomicfile.WriteFunc(content, blobOptions, func(w io.Writer) error {
		_, err := io.Copy(w, f)
		return err
	})
}

// linkDebName creates the link by which [Blobs.Deb] finds the package file.
func (v *Blobs) linkDebName(d events.Deb) error {
	path := filepath.Join(v.dir, debsDir, DebFileName(d.PackageKey, d.Version))
	target := filepath.Join("..", contentsDir, string(d.Digest))
	if now, err := os.Readlink(path); err == nil && now == target {
		return nil
	}
	if err := atomicfile.Symlink(path, target, atomicfile.Options{Temp: filepath.Base(path) + tempPrefix + "*"}); err != nil {
		return storeError("PutDeb", path, err)
	}
	return nil
}

// DebFileName returns the name of a package file, as in apt's cache: the colon of an
// epoch is %3a.
func DebFileName(k events.PackageKey, v events.Version) string {
	return string(k.Name) + "_" + strings.ReplaceAll(string(v), ":", "%3a") + "_" + string(k.Arch) + ".deb"
}

// Deb returns the stored package file of a package version.
func (v *Blobs) Deb(k events.PackageKey, version events.Version) (events.Deb, bool) {
	target, err := os.Readlink(filepath.Join(v.dir, debsDir, DebFileName(k, version)))
	if err != nil {
		return events.Deb{}, false
	}
	d := events.Digest(filepath.Base(target))
	info, err := os.Lstat(v.contentPath(d))
	if err != nil || d.Validate() != nil {
		return events.Deb{}, false
	}
	return events.Deb{PackageKey: k, Version: version, Digest: d, Size: info.Size()}, true
}

// CheckDeb reads a package file and compares it with its digest.
func (v *Blobs) CheckDeb(d events.Digest) error {
	f, err := os.Open(v.contentPath(d))
	if err != nil {
		return &events.Error{Op: "blobstore.CheckDeb", Kind: events.ErrNotFound, Subject: string(d), Err: errors.New("this package file is not in the store"), Hint: "see 'cortex store verify'"}
	}
	defer f.Close()
	if got, err := hashReader(f); err != nil || got != d {
		return corruptError(d)
	}
	return nil
}

// PlaceDeb links or copies a package file into dir as DIGEST.deb, because apt needs a
// name that ends in .deb. The caller removes it.
func (v *Blobs) PlaceDeb(d events.Digest, dir string) (string, error) {
	if err := v.CheckDeb(d); err != nil {
		return "", err
	}
	path := filepath.Join(dir, string(d)+".deb")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", storeError("PlaceDeb", dir, err)
	}
	if err := os.Link(v.contentPath(d), path); err == nil || errors.Is(err, os.ErrExist) {
		return path, nil
	}
	b, err := os.Open(v.contentPath(d))
	if err != nil {
		return "", storeError("PlaceDeb", path, err)
	}
	defer b.Close()
	err = atomicfile.WriteFunc(path, blobOptions, func(w io.Writer) error {
		_, err := io.Copy(w, b)
		return err
	})
	if err != nil {
		return "", storeError("PlaceDeb", path, err)
	}
	return path, nil
}
