// Package blobstore keeps what an undo needs: package files and the contents of
// configuration files, by what is in them.
//
// It promises:
//
//   - A content is stored once, under its [events.Digest], and is on disk (synced,
//     renamed into place) when Put returns. Putting it again costs a look.
//   - What is read back is what was put: a content that does not match its digest
//     is an ErrCorrupt error, never an answer.
//   - A content that not everybody may read is stored encrypted (AES-256-GCM)
//     under a key that only the vault's owner can read, and named by a keyed hash,
//     so that neither the store nor the events tell what it was.
//   - Nothing is dropped but by [Blobs.Collect], and that never drops what it was
//     told to keep.
//
// Any number of processes may put at the same time. Package files are hard links
// where the file system allows it.
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

// Blobs is one store in one directory. It is safe for concurrent use.
type Blobs struct {
	dir string
	key []byte // of secret contents
}

const (
	contentsDir = "contents" // by SHA-256
	secretsDir  = "secrets"  // encrypted, by keyed hash
	debsDir     = "debs"     // NAME_VERSION_ARCH.deb → a link to the content
	keyFile     = "key"
	keySize     = 32
)

// Open opens the vault in dir and makes it when it is not there. Only its owner
// may look into it.
func Open(dir string) (*Blobs, error) {
	for _, d := range []string{dir, filepath.Join(dir, contentsDir), filepath.Join(dir, secretsDir), filepath.Join(dir, debsDir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, storeError("open", dir, err)
		}
	}
	key, err := loadKey(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, storeError("open", dir, err)
	}
	return &Blobs{dir, key}, nil
}

// storeError makes an error of the file system's one.
func storeError(op, subject string, err error) error {
	return &events.Error{Op: "blobstore." + op, Kind: events.ErrFull, Subject: subject, Err: err, Hint: "is the disk full, or the state directory read-only?"}
}

// loadKey reads the key, or makes one: written beside, then linked into place, so
// that of two processes that make one both use the same.
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
		return nil, fmt.Errorf("the vault's key has %d bytes, not %d", len(key), keySize)
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

// SecretDigest is the name that a secret content has.
func (v *Blobs) SecretDigest(content []byte) events.Digest {
	mac := hmac.New(sha256.New, v.key)
	mac.Write(content)
	return events.Digest(hex.EncodeToString(mac.Sum(nil)))
}

// Get reads a content back and checks it. One that is not there is an ErrNotFound
// error, one that is damaged an ErrCorrupt error.
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
		return nil, &events.Error{Op: "blobstore.Get", Kind: events.ErrNotFound, Subject: string(d), Err: errors.New("the store does not hold this content"), Hint: "see 'cortex store verify'"}
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

// Has reports whether a content is there, without reading it.
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

// writeBlob puts b into place whole and synced; what is there already stays.
func (v *Blobs) writeBlob(path string, b []byte) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	if err := atomicfile.Write(path, b, blobOptions); err != nil {
		return storeError("Put", path, err)
	}
	return nil
}

// tempPrefix marks files that are not in place yet.
const tempPrefix = ".new-"

var (
	blobOptions = atomicfile.Options{Mode: 0o600, Temp: tempPrefix + "*"}
	keyOptions  = atomicfile.Options{Mode: 0o600, Temp: tempPrefix + "*", NoReplace: true}
)

// OpenExisting opens a vault to look into it; one that is not there, or may not be
// looked into, is an error, and nothing is made.
func OpenExisting(dir string) (*Blobs, error) {
	key, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, &events.Error{Op: "blobstore.OpenExisting", Kind: events.ErrConfirmation, Subject: dir, Err: err, Hint: "the store of contents is root's"}
	}
	return &Blobs{dir, key}, nil
}
