// Package cryptoshred encrypts texts of users, each with a key of its own, and destroys
// keys. This way a user's text can be deleted from an append-only log: the log has only the
// encrypted text.
//
// It promises:
//
//   - A key is a file with mode 0400 that belongs to the user. Only the owner of the key
//     directory can add or remove keys. The key is on disk before [Keys.Seal] returns.
//   - A sealed text can be decrypted only with its key, for its user, and unchanged
//     (AES-256-GCM).
//   - After [Keys.Destroy] the key is removed and the text cannot be decrypted. Copies of
//     the key in a backup or in unused disk blocks are not removed.
//
// One process may seal while any number of processes unseal.
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

// New returns the keys in dir. Seal creates dir if necessary.
func New(dir string) Keys { return Keys{dir} }

func (k Keys) userDir(uid int) string { return filepath.Join(k.dir, strconv.Itoa(uid)) }

func (k Keys) keyPath(uid int, key events.ID) string {
	return filepath.Join(k.userDir(uid), string(key))
}

// Seal creates a key named id for a user and encrypts text with it. A name can be used
// only once. Seal fails with ErrConflict when the user has events.MaxPreferences keys.
func (k Keys) Seal(uid int, id events.ID, text string) (events.Sealed, error) {
	if err := id.Validate(); err != nil {
		return events.Sealed{}, err
	}
	if err := os.MkdirAll(k.userDir(uid), 0o755); err != nil { // the keys inside have mode 0400
		return events.Sealed{}, err
	}
	have, err := os.ReadDir(k.userDir(uid))
	if err != nil {
		return events.Sealed{}, err
	}
	if len(have) >= events.MaxPreferences {
		return events.Sealed{}, &events.Error{
			Op: "cryptoshred.Seal", Kind: events.ErrConflict, Subject: "memory", Err: fmt.Errorf("%d preferences are stored already", len(have)),
			Hint: "delete some with 'cortex memory forget NAME'",
		}
	}
	key := make([]byte, keyBytes)
	_, _ = rand.Read(key) // never fails
	if err := k.writeKey(uid, id, key); err != nil {
		return events.Sealed{}, fmt.Errorf("write a key: %w", err)
	}
	aead, err := newAEAD(key)
	if err != nil {
		return events.Sealed{}, err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return events.Sealed{Key: id, Nonce: nonce, Text: aead.Seal(nil, nonce, []byte(text), additionalData(uid, id))}, nil
}

// writeKey writes a key to its file and syncs it. It fails when the file exists.
func (k Keys) writeKey(uid int, id events.ID, key []byte) error {
	o := atomicfile.Options{Mode: 0o400, NoReplace: true}
	if uid != os.Geteuid() {
		o.Owner = &atomicfile.Owner{UID: uid, GID: -1}
	}
	return errors.Join(atomicfile.Write(k.keyPath(uid, id), key, o), atomicfile.Sync(k.dir))
}

// Unseal decrypts a text. ok is false when the key was destroyed or is not readable for
// this process.
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

// Destroy removes some of a user's keys. A missing key is not an error.
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

// DestroyAll removes every key of a user.
func (k Keys) DestroyAll(uid int) error {
	return errors.Join(os.RemoveAll(k.userDir(uid)), syncExisting(k.dir))
}

// additionalData returns the data that a sealed text is authenticated with: user and key.
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

// syncExisting syncs a directory. A missing directory is not an error.
func syncExisting(dir string) error {
	if err := atomicfile.Sync(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
