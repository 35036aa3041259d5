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

// Dir is the directory of the key and the heads.
type Dir string

// KeyPath returns the path of the private key, mode 0600.
func (p Dir) KeyPath() string { return filepath.Join(string(p), "key") }

// PublicKeyPath returns the path of the public key.
func (p Dir) PublicKeyPath() string { return filepath.Join(string(p), "key.pub") }

// HeadsPath returns the path of the file of signed heads: one JSON object per line.
func (p Dir) HeadsPath() string { return filepath.Join(string(p), "heads.jsonl") }

// Origin returns the name of a host's log: the first line of its heads and the name of
// its key.
func Origin(h events.HostID) string { return "cortex-log-" + string(h) }

// LoadOrCreateKey reads the private key. It creates one if there is neither a key nor a
// signed head.
func LoadOrCreateKey(p Dir, h events.HostID) (note.Signer, error) {
	fail := func(kind events.ErrorKind, err error) (note.Signer, error) {
		return nil, &events.Error{Op: "treehead.LoadOrCreateKey", Kind: kind, Subject: p.KeyPath(), Err: err}
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
		return fail(events.ErrCorrupt, fmt.Errorf("it belongs to the log %q, not to %q", s.Name(), Origin(h)))
	}
	return s, nil
}

// createKey creates a pair of keys. It writes the private key last: without it nothing
// can have been signed, so the next start creates the pair again.
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

// writeFileAtomic writes a file: either the whole content is durable, or the file is
// unchanged.
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
