package filestore

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"cortex/internal/atomicfile"

	"github.com/minio/highwayhash"
	"github.com/nats-io/nats-server/v2/server"
)

// CorruptError reports a file or directory of the server that cannot be read, or that
// does not hold what the server wrote.
type CorruptError struct {
	Path string
	Err  error
}

// CorruptError implements error.
func (e *CorruptError) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Err }

// StoreDir is the storage directory of a server. The zero value is not usable.
type StoreDir struct{ dir string }

// Open returns the store in dir, the StoreDir of the server's options. version is
// that of the linked server; Open returns a [*VersionError] when this package was
// not tested with it. The directory need not exist yet.
func Open(dir, version string) (StoreDir, error) {
	if err := CheckVersion(version); err != nil {
		return StoreDir{}, err
	}
	return StoreDir{dir}, nil
}

// Stream returns the files of the named stream in the server's global account.
// They need not exist yet.
func (s StoreDir) Stream(name string) Stream {
	return Stream{name, filepath.Join(s.dir, server.JetStreamStoreDir, server.DEFAULT_GLOBAL_ACCOUNT, "streams", name)}
}

// Sync syncs every file and directory of the store. It is for new streams: the
// server does not sync their descriptions or the directories that it creates.
func (s StoreDir) Sync() error {
	return filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() && !d.Type().IsRegular() {
			return err
		}
		err = atomicfile.Sync(path)
		if errors.Is(err, fs.ErrNotExist) && !d.IsDir() {
			return nil // the server has replaced it since
		}
		return err
	})
}

// Stream is the directory of one stream.
type Stream struct{ name, dir string }

// Dir returns the stream's directory.
func (s Stream) Dir() string { return s.dir }

// DescriptionPath returns the path of the stream's description, a JSON document.
func (s Stream) DescriptionPath() string { return filepath.Join(s.dir, server.JetStreamMetaFile) }

// ChecksumPath returns the path of the description's checksum.
func (s Stream) ChecksumPath() string { return filepath.Join(s.dir, server.JetStreamMetaFileSum) }

// BlockDir returns the directory of the stream's block files.
func (s Stream) BlockDir() string { return filepath.Join(s.dir, "msgs") }

// Created returns the creation time in the stream's description. It returns an
// [*Error] when the description is unreadable or does not match its checksum. The
// server would ignore such a stream, and then the stream could be created again.
func (s Stream) Created() (time.Time, error) {
	description, err := os.ReadFile(s.DescriptionPath())
	if err != nil {
		return time.Time{}, &CorruptError{s.DescriptionPath(), err}
	}
	checksum, err := os.ReadFile(s.ChecksumPath())
	if err != nil {
		return time.Time{}, &CorruptError{s.ChecksumPath(), err}
	}
	sum, err := newChecksum(s.name)
	if err != nil {
		return time.Time{}, &CorruptError{s.DescriptionPath(), err}
	}
	_, _ = sum.Write(description)
	if !bytes.Equal(checksum, hex.AppendEncode(nil, sum.Sum(nil))) {
		return time.Time{}, &CorruptError{s.DescriptionPath(), errors.New("the stream's description does not match its checksum")}
	}
	var info struct{ Created time.Time }
	if err := json.Unmarshal(description, &info); err != nil {
		return time.Time{}, &CorruptError{s.DescriptionPath(), fmt.Errorf("decode the stream's description: %w", err)}
	}
	return info.Created, nil
}

// newChecksum returns the server's checksum, HighwayHash-64 with the SHA-256 of a
// name as its key.
func newChecksum(name string) (*highwayhash.Digest64, error) {
	key := sha256.Sum256([]byte(name))
	return highwayhash.NewDigest64(key[:])
}
