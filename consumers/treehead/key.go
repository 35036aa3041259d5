package treehead

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"cortex/events"
)

// Dir are the files in the audit directory.
type Dir string

// KeyPath holds the private key, 0600.
func (p Dir) KeyPath() string { return filepath.Join(string(p), "key") }

// PublicKeyPath holds the verifier's key.
func (p Dir) PublicKeyPath() string { return filepath.Join(string(p), "key.pub") }

// HeadsPath holds the signed heads, one JSON object a line.
func (p Dir) HeadsPath() string { return filepath.Join(string(p), "heads.jsonl") }

// Origin names the log of a host; it is the first line of each of its heads and
// the name of its key.
func Origin(h events.HostID) string { return "cortex-log-" + string(h) }

// LoadOrCreateKey reads the private key, or makes one when there is neither a key nor a
// head that one has signed.
func LoadOrCreateKey(p Dir, h events.HostID) (note.Signer, error) {
	fail := func(kind events.ErrorKind, err error) (note.Signer, error) {
		return nil, &events.Error{Op: "treehead.OpenKey", Kind: kind, Subject: p.KeyPath(), Err: err}
	}
	b, err := os.ReadFile(p.KeyPath())
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(p.HeadsPath()); err == nil {
			return fail(events.ErrCorrupt, errors.New("the key is missing, but there are heads that it signed"))
		}
		b, err = createKey(p, h)
	}
	if err != nil {
		return fail(events.ErrUnavailable, err)
	}
	s, err := note.NewSigner(strings.TrimSpace(string(b)))
	if err != nil {
		return fail(events.ErrCorrupt, err)
	}
	if s.Name() != Origin(h) {
		return fail(events.ErrCorrupt, fmt.Errorf("it is the key of %s", s.Name()))
	}
	return s, nil
}

// createKey makes a pair of keys. The private one comes last: while it is missing
// nothing can have been signed, and the pair is made again.
func createKey(p Dir, h events.HostID) ([]byte, error) {
	private, public, err := note.GenerateKey(rand.Reader, Origin(h))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(string(p), 0o755); err != nil {
		return nil, err
	}
	if err := writeFileAtomic(p.PublicKeyPath(), public+"\n", 0o644); err != nil {
		return nil, err
	}
	return []byte(private), writeFileAtomic(p.KeyPath(), private+"\n", 0o600)
}

// writeFileAtomic writes a file so that it is there whole and durable, or as before.
func writeFileAtomic(path, content string, mode fs.FileMode) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// ReadVerifier reads a public key.
func ReadVerifier(path string) (note.Verifier, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, &events.Error{Op: "treehead.ReadVerifier", Kind: events.ErrNotFound, Subject: path, Err: err}
	}
	v, err := note.NewVerifier(strings.TrimSpace(string(b)))
	if err != nil {
		return nil, &events.Error{Op: "treehead.ReadVerifier", Kind: events.ErrCorrupt, Subject: path, Err: err}
	}
	return v, nil
}
