// Package cryptoshred seals texts of people, each under a key of its own, and destroys the
// keys. A log that only grows can forget that way: it holds nothing but what is
// sealed.
//
// It promises:
//
//   - A key is a file of its person's, mode 0400, below a directory that only the
//     keeper of the keys can change. It is on disk before [Keys.Seal] returns.
//   - What is sealed opens only with its key, for its person, and unaltered
//     (AES-256-GCM).
//   - After [Keys.Destroy] nobody opens it any more; the keys' files are gone from
//     the disk's directory. A copy that somebody made of a key before, in a backup
//     or of the disk's blocks, is out of its reach.
//
// Keys are safe for concurrent use by one process that seals and any that open.
package cryptoshred

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"cortex/events"
	"cortex/internal/atomicfile"
)

const keyBytes = 32

// Keys are the keys in one directory.
type Keys struct{ dir string }

// New returns the keys in dir, which is made when the first text is sealed.
func New(dir string) Keys { return Keys{dir} }

func (k Keys) userDir(uid int) string { return filepath.Join(k.dir, strconv.Itoa(uid)) }

func (k Keys) keyPath(uid int, key events.ID) string {
	return filepath.Join(k.userDir(uid), string(key))
}

// Seal makes a key named id for a person, and seals text under it. The name of a
// key is used once. It fails with ErrConflict when the person has
// events.MaxPreferences keys.
func (k Keys) Seal(uid int, id events.ID, text string) (events.Sealed, error) {
	if err := id.Validate(); err != nil {
		return events.Sealed{}, err
	}
	if err := os.MkdirAll(k.userDir(uid), 0o755); err != nil { //nolint:gosec // each key is its person's own
		return events.Sealed{}, err
	}
	have, err := os.ReadDir(k.userDir(uid))
	if err != nil {
		return events.Sealed{}, err
	}
	if len(have) >= events.MaxPreferences {
		return events.Sealed{}, &events.Error{
			Op: "cryptoshred.Seal", Kind: events.ErrConflict, Subject: "memory", Err: fmt.Errorf("there are %d preferences already", len(have)),
			Hint: "have some forgotten: cortex memory forget NAME",
		}
	}
	key := make([]byte, keyBytes)
	_, _ = rand.Read(key) // never fails
	if err := k.writeKey(uid, id, key); err != nil {
		return events.Sealed{}, fmt.Errorf("keep a key: %w", err)
	}
	aead, err := newAEAD(key)
	if err != nil {
		return events.Sealed{}, err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return events.Sealed{Key: id, Nonce: nonce, Text: aead.Seal(nil, nonce, []byte(text), additionalData(uid, id))}, nil
}

// writeKey makes the file of a key, whole and on disk.
func (k Keys) writeKey(uid int, id events.ID, key []byte) error {
	f, err := os.OpenFile(k.keyPath(uid, id), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o400)
	if err != nil {
		return err
	}
	_, err = f.Write(key)
	if uid != os.Geteuid() {
		err = errors.Join(err, f.Chown(uid, -1))
	}
	return errors.Join(err, f.Sync(), f.Close(), atomicfile.Sync(k.userDir(uid)), atomicfile.Sync(k.dir))
}

// Unseal opens a text. ok is false when its key is gone, or not for us to read.
func (k Keys) Unseal(uid int, s events.Sealed) (text string, ok bool) {
	if s.Key.Validate() != nil {
		return "", false
	}
	key, err := os.ReadFile(k.keyPath(uid, s.Key))
	if err != nil || len(key) != keyBytes {
		return "", false
	}
	aead, err := newAEAD(key)
	if err != nil || len(s.Nonce) != aead.NonceSize() {
		return "", false
	}
	b, err := aead.Open(nil, s.Nonce, s.Text, additionalData(uid, s.Key))
	return string(b), err == nil
}

// Destroy destroys some of a person's keys. One that is gone already is no error.
func (k Keys) Destroy(uid int, ids ...events.ID) error {
	var errs []error
	for _, id := range ids {
		if err := id.Validate(); err != nil {
			errs = append(errs, err)
			continue
		}
		if err := os.Remove(k.keyPath(uid, id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, syncExisting(k.userDir(uid)))...)
}

// DestroyAll destroys every key of a person.
func (k Keys) DestroyAll(uid int) error {
	return errors.Join(os.RemoveAll(k.userDir(uid)), syncExisting(k.dir))
}

// additionalData is what a sealed text is bound to besides its key.
func additionalData(uid int, id events.ID) []byte {
	return []byte(strconv.Itoa(uid) + " " + string(id))
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// syncExisting syncs a directory; a missing one has no names to sync.
func syncExisting(dir string) error {
	if err := atomicfile.Sync(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
