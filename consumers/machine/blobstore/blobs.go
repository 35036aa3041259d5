// Package blobstore is a content-addressed store of everything that an undo needs:
// package files and the contents of configuration files.
//
// It promises:
//
//   - A content is stored once, under its [events.Digest]. When Put returns, it is
//     durable: synced and renamed into place.
//   - A content that does not match its digest is an ErrCorrupt error when it is read.
//   - A content that not every user may read is encrypted (AES-256-GCM) with a key that
//     only the owner of the store can read, and named by a keyed hash. So neither the
//     store nor the events reveal it.
//   - Only [Blobs.Collect] removes contents, and never one that it must keep.
//
// Any number of processes may put contents at the same time. Package files are hard
// links where the file system allows it.
package blobstore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"cortex/events"
	"cortex/internal/atomicfile"
)

// Blobs is the store in one directory. It is safe for concurrent use.
type Blobs struct {
	dir string
	key []byte // for secret contents
}

const (
	contentsDir = "contents" // by SHA-256
	secretsDir  = "secrets"  // encrypted, by keyed hash
	debsDir     = "debs"     // NAME_VERSION_ARCH.deb: a link to the content
	keyFile     = "key"
	keySize     = 32
)

// Open opens the store in dir and creates it if it does not exist. Only its owner can
// read it.
func Open(dir string) (*Blobs, error) {
	for _, d := range []string{dir, filepath.Join(dir, contentsDir), filepath.Join(dir, secretsDir), filepath.Join(dir, debsDir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, storeError("Open", dir, err)
		}
	}
	key, err := loadKey(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, storeError("Open", dir, err)
	}
	return &Blobs{dir, key}, nil
}

// storeError wraps an error of the file system.
func storeError(op, subject string, err error) error {
	return &events.Error{Op: "blobstore." + op, Kind: events.ErrFull, Subject: subject, Err: err, Hint: "check that the state directory is writable and the disk has free space"}
}

// loadKey reads the key, or creates one. It links the new key into place, so that two
// processes that create one at the same time use the same.
func loadKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		fresh := make([]byte, keySize)
		_, _ = rand.Read(fresh)
		if err := atomicfile.Write(path, fresh, keyOptions); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, err
		}
		if err := atomicfile.Sync(filepath.Dir(path)); err != nil { // another process may have linked the key without syncing yet
			return nil, err
		}
		key, err = os.ReadFile(path)
		if err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	if len(key) != keySize {
		return nil, fmt.Errorf("the key of the store has %d bytes, not %d", len(key), keySize)
	}
	return key, nil
}

// Put stores a content.
func (v *Blobs) Put(content []byte) (events.Digest, error) {
	sum := sha256.Sum256(content)
	d := events.Digest(hex.EncodeToString(sum[:]))
	return d, v.writeBlob(v.contentPath(d), content)
}

// PutSecret stores a content encrypted.
func (v *Blobs) PutSecret(content []byte) (events.Digest, error) {
	d := v.SecretDigest(content)
	path := v.secretPath(d)
	if _, err := os.Lstat(path); err == nil {
		return d, nil
	}
	sealed, err := v.seal(content)
	if err != nil {
		return "", storeError("PutSecret", string(d), err)
	}
	return d, v.writeBlob(path, sealed)
}

// SecretDigest returns the digest of a secret content: a keyed hash.
func (v *Blobs) SecretDigest(content []byte) events.Digest {
	mac := hmac.New(sha256.New, v.key)
	mac.Write(content)
	return events.Digest(hex.EncodeToString(mac.Sum(nil)))
}

// Get reads a content and checks it. A missing content is an ErrNotFound error, a
// damaged one an ErrCorrupt error.
func (v *Blobs) Get(d events.Digest, secret bool) ([]byte, error) {
	if err := d.Validate(); err != nil {
		return nil, &events.Error{Op: "blobstore.Get", Kind: events.ErrUsage, Subject: string(d), Err: err}
	}
	path := v.contentPath(d)
	if secret {
		path = v.secretPath(d)
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &events.Error{Op: "blobstore.Get", Kind: events.ErrNotFound, Subject: string(d), Err: errors.New("this content is not in the store"), Hint: "see 'cortex store verify'"}
	}
	if err != nil {
		return nil, storeError("Get", string(d), err)
	}
	if secret {
		if b, err = v.unseal(b); err != nil || v.SecretDigest(b) != d {
			return nil, corruptError(d)
		}
		return b, nil
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != string(d) {
		return nil, corruptError(d)
	}
	return b, nil
}

// Has reports whether a content exists, without reading it.
func (v *Blobs) Has(d events.Digest, secret bool) bool {
	path := v.contentPath(d)
	if secret {
		path = v.secretPath(d)
	}
	_, err := os.Lstat(path)
	return d.Validate() == nil && err == nil
}

func corruptError(d events.Digest) error {
	return &events.Error{Op: "blobstore.Get", Kind: events.ErrCorrupt, Subject: string(d), Err: errors.New("the stored content is damaged"), Hint: "see 'cortex store verify'"}
}

func (v *Blobs) contentPath(d events.Digest) string {
	return filepath.Join(v.dir, contentsDir, string(d))
}

func (v *Blobs) secretPath(d events.Digest) string {
	return filepath.Join(v.dir, secretsDir, string(d))
}

func (v *Blobs) seal(content []byte) ([]byte, error) {
	gcm, err := v.cipher()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, gcm.NonceSize())
	_, _ = rand.Read(nonce)
	return gcm.Seal(nonce, nonce, content, nil), nil
}

func (v *Blobs) unseal(b []byte) ([]byte, error) {
	gcm, err := v.cipher()
	if err != nil {
		return nil, err
	}
	if len(b) < gcm.NonceSize() {
		return nil, errors.New("too short")
	}
	return gcm.Open(nil, b[:gcm.NonceSize()], b[gcm.NonceSize():], nil)
}

func (v *Blobs) cipher() (cipher.AEAD, error) {
	block, err := aes.NewCipher(v.key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// writeBlob writes a content, synced, and renames it into place. An existing content
// stays unchanged.
func (v *Blobs) writeBlob(path string, b []byte) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	if err := atomicfile.Write(path, b, blobOptions); err != nil {
		return storeError("Put", path, err)
	}
	return nil
}

// tempPrefix begins the names of temporary files.
const tempPrefix = ".new-"

var (
	blobOptions = atomicfile.Options{Mode: 0o600, Temp: tempPrefix + "*"}
	keyOptions  = atomicfile.Options{Mode: 0o600, Temp: tempPrefix + "*", NoReplace: true}
)

// OpenExisting opens a store to read it. It creates nothing: a store that does not exist
// or cannot be read is an error.
func OpenExisting(dir string) (*Blobs, error) {
	key, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, &events.Error{Op: "blobstore.OpenExisting", Kind: events.ErrConfirmation, Subject: dir, Err: err, Hint: "run the command as root"}
	}
	return &Blobs{dir, key}, nil
}
