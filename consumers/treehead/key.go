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
