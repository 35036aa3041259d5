// Package atomicfile replaces files and symbolic links in one step.
//
// It promises:
//
//   - A reader sees the old content or the new content, never a mixture or a part. This is
//     also true after a crash.
//   - When a function returns nil, the new content is on disk. Its name is on disk too,
//     unless [Options.SkipDirSync] is set.
//   - When a function fails, the old file is unchanged and the temporary file is removed.
//     A failed directory sync is the exception: the new file is then in place, but a
//     power failure can bring the old one back.
//   - A symbolic link at the destination is replaced, not followed. [WriteIn] follows no
//     link at all.
//
// github.com/google/renameio is not used, because it does not sync the directory and does not
// let the caller choose the name of the temporary file. Callers need that name to skip and
// remove the files of killed processes.
package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// DefaultTemp is the name of a temporary file when [Options.Temp] is empty. apt, dpkg and
// most programs that read a whole directory skip hidden files.
const DefaultTemp = ".new-*"

// attempts is the maximum number of random names to try.
const attempts = 1000

// Owner is the owner of a file.
type Owner struct{ UID, GID int }

// Options of one replacement.
type Options struct {
	Mode        fs.FileMode // of the new file, exactly: the umask does not apply; ignored by [Symlink]
	Owner       *Owner      // nil: the process's own
	Temp        string      // name of the temporary file in the same directory; a random number replaces its last "*"
	SkipDirSync bool        // return before the new name is on disk
	NoReplace   bool        // fail with fs.ErrExist if the destination exists; ignored by [Symlink]
}

// Write replaces the file path.
func Write(path string, content []byte, o Options) error {
	return WriteFunc(path, o, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// WriteFunc replaces the file path with the output of fill. It returns an error of fill
// unchanged.
func WriteFunc(path string, o Options, fill func(io.Writer) error) error {
	return inDir(path, func(root *os.Root, name string) error { return WriteIn(root, name, o, fill) })
}

// WriteIn replaces the file name in the directory root with the output of fill. name must be a
// plain file name, so that WriteIn follows no link.
func WriteIn(root *os.Root, name string, o Options, fill func(io.Writer) error) error {
	if name != filepath.Base(name) || !filepath.IsLocal(name) {
		return &fs.PathError{Op: "write", Path: name, Err: fs.ErrInvalid}
	}
	var f *os.File
	tmp, err := tempName(root, o.Temp, func(tmp string) (err error) {
		f, err = root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	err = fill(f)
	if err == nil && o.Owner != nil {
		err = f.Chown(o.Owner.UID, o.Owner.GID)
	}
	if err == nil {
		err = f.Chmod(o.Mode) // after Chown, which clears set-user-ID
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil && o.NoReplace {
		err = root.Link(tmp, name)
	} else if err == nil {
		err = root.Rename(tmp, name)
	}
	if err != nil || o.NoReplace {
		_ = root.Remove(tmp)
	}
	return finish(root, o, err)
}

// Symlink makes path a symbolic link to target; a file or a link at path is replaced.
func Symlink(path, target string, o Options) error {
	return inDir(path, func(root *os.Root, name string) error {
		tmp, err := tempName(root, o.Temp, func(tmp string) error { return root.Symlink(target, tmp) })
		if err != nil {
			return err
		}
		if o.Owner != nil {
			err = root.Lchown(tmp, o.Owner.UID, o.Owner.GID)
		}
		if err == nil {
			err = root.Rename(tmp, name)
		}
		if err != nil {
			_ = root.Remove(tmp)
		}
		return finish(root, o, err)
	})
}

// Sync waits until a file's content, or a directory's names, are on disk.
func Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// inDir calls f with the directory of path. Errors name path, not the temporary file.
func inDir(path string, f func(root *os.Root, name string) error) error {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer root.Close()
	err = f(root, filepath.Base(path))
	switch e := err.(type) { // an error that fill wrapped keeps its own path
	case *fs.PathError:
		return &fs.PathError{Op: e.Op, Path: path, Err: e.Err}
	case *os.LinkError:
		return &fs.PathError{Op: e.Op, Path: path, Err: e.Err}
	}
	return err
}

// tempName calls create with names until one is unused, and returns that name. For a fixed name
// it first removes the file that a killed process left.
func tempName(root *os.Root, pattern string, create func(name string) error) (string, error) {
	if pattern == "" {
		pattern = DefaultTemp
	}
	if pattern != filepath.Base(pattern) {
		return "", fmt.Errorf("temporary name %q is not a plain file name", pattern)
	}
	i := strings.LastIndexByte(pattern, '*')
	if i < 0 {
		if err := root.Remove(pattern); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		return pattern, create(pattern)
	}
	for range attempts {
		name := pattern[:i] + strconv.FormatUint(uint64(rand.Uint32()), 10) + pattern[i+1:] // O_EXCL keeps a guessed name out
		if err := create(name); !errors.Is(err, fs.ErrExist) {
			return name, err
		}
	}
	return "", &fs.PathError{Op: "create", Path: pattern, Err: fs.ErrExist}
}

// finish syncs the directory after a replacement that succeeded.
func finish(root *os.Root, o Options, err error) error {
	if err != nil || o.SkipDirSync {
		return err
	}
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
