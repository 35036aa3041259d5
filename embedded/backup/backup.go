// Package backup writes a state directory to one file, and restores it from there.
//
// It promises:
//
//   - [Write] copies a file only while no process writes to it.
//   - [Read] and [Extract] refuse a backup that was truncated, changed or reordered. The
//     index at the end has the SHA-256 of every file before it, and the index itself has
//     one. This finds accidents. A forgery is detected by the signed tree heads of the
//     log.
//   - [Extract] writes only below the given directory, which must not exist. It restores
//     the whole backup or leaves nothing behind.
//
// A backup contains keys, so only its owner may be able to read it. It does not contain
// the read models, the package index and the logs of the daemon, which can be rebuilt.
package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
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

// FormatVersion is the version of the backup file's layout.
const FormatVersion = 1

// The last two entries of the archive: the index and its digest.
const indexName, digestName = "backup.json", "backup.sha256"

// maxIndexBytes limits the index to about a million files.
const maxIndexBytes = 256 << 20

// includedParts are the parts of a state directory that are copied. The first can be
// copied while a daemon runs, because its files never change.
var includedParts = []string{"vault", "log", "manifest.json", "cluster.key", "audit", "memory-keys", "kvcache"}

// Info describes a backup.
type Info struct {
	Version int             `json:"version"`
	Host    events.HostID   `json:"host"`
	Machine string          `json:"machine,omitempty"` // the name of the machine
	Build   string          `json:"build,omitempty"`
	Created time.Time       `json:"created"`
	Head    events.Position `json:"head"` // position of the newest event
	Files   []ArchivedFile  `json:"files"`
}

// ArchivedFile is one file, directory or symbolic link.
type ArchivedFile struct {
	Path   string      `json:"path"` // below the state directory, with slashes
	Mode   fs.FileMode `json:"mode"` // type and permissions
	UID    int         `json:"uid"`
	GID    int         `json:"gid"`
	Size   int64       `json:"size_b,omitempty"`
	Digest string      `json:"sha256,omitempty"` // of a regular file
	Link   string      `json:"link,omitempty"`   // target of a link, relative and inside the state directory
}

// Bytes returns the total size of the files.
func (i Info) Bytes() (n int64) {
	for _, f := range i.Files {
		n += f.Size
	}
	return n
}

// Write writes a backup of dir. It copies the files that never change and then calls quiesce
// once. From then on no process may write to dir, and quiesce fills in the rest of Info.
func Write(ctx context.Context, w io.Writer, dir string, quiesce func(*Info) error) (Info, error) {
	info := Info{Version: FormatVersion}
	t := tar.NewWriter(w)
	seen := map[string]bool{}
	if err := info.addTree(ctx, t, dir, includedParts[0], seen); err != nil {
		return info, err
	}
	if err := quiesce(&info); err != nil {
		return info, err
	}
	for _, part := range includedParts {
		if err := info.addTree(ctx, t, dir, part, seen); err != nil {
			return info, err
		}
	}
	index, err := json.Marshal(info)
	if err != nil {
		return info, err
	}
	err = writeEntry(t, indexName, index)
	if err == nil {
		err = writeEntry(t, digestName, []byte(hexSHA256(index)))
	}
	return info, errors.Join(err, t.Close())
}

func writeEntry(t *tar.Writer, name string, content []byte) error {
	err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = t.Write(content)
	}
	return err
}

func hexSHA256(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// addTree copies the files of a part that were not copied yet. It skips a file that its
// owner deletes meanwhile.
func (i *Info) addTree(ctx context.Context, t *tar.Writer, dir, part string, seen map[string]bool) error {
	return filepath.WalkDir(filepath.Join(dir, part), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || seen[name] {
			return err
		}
		f, err := addFile(t, path, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && f.Path != "" {
			seen[name] = true
			i.Files = append(i.Files, f)
		}
		return err
	})
}

// addFile copies one file, directory or symbolic link. It skips sockets and devices and
// returns an empty ArchivedFile for them.
func addFile(t *tar.Writer, path, name string) (ArchivedFile, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return ArchivedFile{}, err
	}
	f := ArchivedFile{Path: filepath.ToSlash(name), Mode: info.Mode()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		f.UID, f.GID = int(st.Uid), int(st.Gid)
	}
	h := &tar.Header{Name: f.Path, Mode: int64(f.Mode.Perm())}
	switch f.Mode.Type() {
	case fs.ModeDir:
		h.Typeflag = tar.TypeDir
		return f, t.WriteHeader(h)
	case fs.ModeSymlink:
		if f.Link, err = os.Readlink(path); err == nil {
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.Link
			err = t.WriteHeader(h)
		}
		return f, err
	case 0:
	default:
		return ArchivedFile{}, nil
	}
	from, err := os.Open(path)
	if err != nil {
		return ArchivedFile{}, err
	}
	defer from.Close()
	if info, err = from.Stat(); err != nil {
		return ArchivedFile{}, err
	}
	f.Size, h.Size, h.Typeflag = info.Size(), info.Size(), tar.TypeReg
	if err := t.WriteHeader(h); err != nil {
		return ArchivedFile{}, err
	}
	digest := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(t, digest), from, f.Size); err != nil {
		return ArchivedFile{}, fmt.Errorf("%s changed while it was copied: %w", name, err)
	}
	f.Digest = hex.EncodeToString(digest.Sum(nil))
	return f, nil
}

func corruptError(format string, args ...any) error {
	return &events.Error{Op: "backup.Read", Kind: events.ErrCorrupt, Subject: "the backup", Err: fmt.Errorf(format, args...), Hint: "use another backup; 'cortex backup list' lists them"}
}

// readArchive reads a backup and checks the index at its end. It calls keep with every entry
// before the entry is verified.
func readArchive(ctx context.Context, r io.Reader, keep func(f ArchivedFile, content io.Reader) error) (Info, error) {
	t := tar.NewReader(r)
	var got []ArchivedFile
	for {
		h, err := t.Next()
		if err != nil {
			return Info{}, corruptError("it is truncated or not a backup: %v", err)
		}
		if err := ctx.Err(); err != nil {
			return Info{}, err
		}
		if h.Name == indexName {
			return readIndex(t, h, got, r)
		}
		f := ArchivedFile{Path: h.Name, Mode: fs.FileMode(h.Mode).Perm(), Size: h.Size, Link: h.Linkname}
		switch h.Typeflag {
		case tar.TypeDir:
			f.Mode |= fs.ModeDir
		case tar.TypeSymlink:
			f.Mode |= fs.ModeSymlink
		case tar.TypeReg:
		default:
			return Info{}, corruptError("%q is not a file, directory or link", events.SanitizeLine(h.Name, 200))
		}
		if err := f.checkPath(); err != nil {
			return Info{}, err
		}
		digest := sha256.New()
		if err := keep(f, io.TeeReader(t, digest)); err != nil {
			return Info{}, err
		}
		if _, err := io.Copy(digest, t); err != nil { // the part that keep did not read
			return Info{}, corruptError("%s: %v", f.Path, err)
		}
		if f.Mode.IsRegular() {
			f.Digest = hex.EncodeToString(digest.Sum(nil))
		}
		got = append(got, f)
	}
}

// checkPath refuses a path or link target outside the included parts.
func (f ArchivedFile) checkPath() error {
	part, _, _ := strings.Cut(f.Path, "/")
	if !filepath.IsLocal(f.Path) || filepath.Clean(f.Path) != f.Path || !slices.Contains(includedParts, part) {
		return corruptError("%q is not a path of a state directory", events.SanitizeLine(f.Path, 200))
	}
	if f.Mode&fs.ModeSymlink != 0 && (filepath.IsAbs(f.Link) || !filepath.IsLocal(filepath.Join(filepath.Dir(f.Path), f.Link))) {
		return corruptError("%q links to a path outside the state directory", events.SanitizeLine(f.Path, 200))
	}
	return nil
}

// readIndex reads the index and its digest and compares the index with the entries before
// it. Nothing may follow.
func readIndex(t *tar.Reader, h *tar.Header, got []ArchivedFile, r io.Reader) (Info, error) {
	if h.Size > maxIndexBytes {
		return Info{}, corruptError("the index is too large")
	}
	var info Info
	b, err := io.ReadAll(t)
	if err != nil {
		return Info{}, corruptError("the index cannot be read: %v", err)
	}
	h, err = t.Next()
	if err != nil || h.Name != digestName || h.Size != sha256.Size*2 {
		return Info{}, corruptError("it is truncated after the index")
	}
	if digest, err := io.ReadAll(t); err != nil || string(digest) != hexSHA256(b) {
		return Info{}, corruptError("the index was changed")
	}
	if err := json.Unmarshal(b, &info); err != nil {
		return Info{}, corruptError("the index cannot be read: %v", err)
	}
	if info.Version != FormatVersion {
		return Info{}, &events.Error{Op: "backup.Read", Kind: events.ErrUnavailable, Subject: "the backup", Err: fmt.Errorf("its layout is version %d, this version of cortex reads %d", info.Version, FormatVersion), Hint: "use the version of cortex that wrote it, or a newer one"}
	}
	if len(info.Files) != len(got) {
		return Info{}, corruptError("the index lists %d files, but there are %d", len(info.Files), len(got))
	}
	for i, f := range info.Files {
		g := got[i]
		g.UID, g.GID = f.UID, f.GID
		if g.Mode != f.Mode&(fs.ModeType|fs.ModePerm) || g.Path != f.Path || g.Size != f.Size || g.Digest != f.Digest || g.Link != f.Link {
			return Info{}, corruptError("%s was changed", events.SanitizeLine(g.Path, 200))
		}
	}
	if _, err := t.Next(); !errors.Is(err, io.EOF) {
		return Info{}, corruptError("there is data after its end")
	}
	rest, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil || strings.Trim(string(rest), "\x00") != "" {
		return Info{}, corruptError("there is data after its end")
	}
	return info, nil
}

// Read verifies a backup and returns its description.
func Read(ctx context.Context, r io.Reader) (Info, error) {
	return readArchive(ctx, r, func(ArchivedFile, io.Reader) error { return nil })
}

// Extract restores a backup to dir, which must not exist. It calls check with the restored
// files before it renames them to dir. When check fails, Extract removes them.
func Extract(ctx context.Context, r io.Reader, dir string, check func(tmp string, i Info) error) (info Info, err error) {
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return Info{}, &events.Error{Op: "backup.Extract", Kind: events.ErrConflict, Subject: dir, Err: errors.New("it exists already"), Hint: "move it away; nothing was overwritten"}
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return Info{}, err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".cortex-restore-")
	if err != nil {
		return Info{}, &events.Error{Op: "backup.Extract", Kind: events.ErrUnavailable, Subject: dir, Err: err}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	info, err = readArchive(ctx, r, func(f ArchivedFile, content io.Reader) error { return extractEntry(tmp, f, content) })
	if err != nil {
		return info, err
	}
	if err := restoreModes(tmp, info); err != nil {
		return info, err
	}
	if err := check(tmp, info); err != nil {
		return info, err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return info, err
	}
	return info, os.Rename(tmp, dir)
}

// extractEntry writes one entry. Only the owner has access until the backup is verified.
func extractEntry(tmp string, f ArchivedFile, content io.Reader) error {
	path := filepath.Join(tmp, filepath.FromSlash(f.Path))
	switch f.Mode.Type() {
	case fs.ModeDir:
		return os.Mkdir(path, 0o700)
	case fs.ModeSymlink:
		return os.Symlink(f.Link, path)
	}
	w, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, content)
	if err == nil {
		err = w.Sync()
	}
	return errors.Join(err, w.Close())
}

// restoreModes sets owners and permissions, of the innermost files first.
func restoreModes(tmp string, info Info) error {
	for _, f := range slices.Backward(info.Files) {
		path := filepath.Join(tmp, filepath.FromSlash(f.Path))
		if os.Geteuid() == 0 {
			if err := os.Lchown(path, f.UID, f.GID); err != nil {
				return err
			}
		}
		if f.Mode&fs.ModeSymlink == 0 {
			if err := os.Chmod(path, f.Mode.Perm()); err != nil {
				return err
			}
		}
	}
	return nil
}
