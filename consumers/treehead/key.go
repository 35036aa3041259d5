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
	"cortex/internal/atomicfile"
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
	if err := writeKeyFile(p.PublicKeyPath(), public, 0o644); err != nil {
		return nil, err
	}
	return []byte(private), writeKeyFile(p.KeyPath(), private, 0o600)
}

func writeKeyFile(path, key string, mode fs.FileMode) error {
	return atomicfile.Write(path, []byte(key+"\n"), atomicfile.Options{Mode: mode, Temp: filepath.Base(path) + ".tmp"})
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
