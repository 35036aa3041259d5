package natslog

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"cortex/events"
	"cortex/internal/atomicfile"
)

// signatureHeader carries the seal of a message that a cluster keeps.
const signatureHeader = "cortex-seal"

// messageSigner proves that a message is ours. Whoever administers a cluster may write to its
// streams; without the key, which never leaves the state directory, nobody can write an
// approval there that this machine would act on. The nil sealer, of a server in our own
// process, seals nothing and takes everything.
type messageSigner struct{ key []byte }

func signingKeyPath(dir string) string { return filepath.Join(dir, "cluster.key") }

// loadSigner reads the key, or makes it when the log is being made.
func loadSigner(dir string, create bool) (*messageSigner, error) {
	key, err := os.ReadFile(signingKeyPath(dir))
	if errors.Is(err, fs.ErrNotExist) && create {
		key = make([]byte, sha256.Size)
		_, _ = rand.Read(key) // never fails
		err = atomicfile.Write(signingKeyPath(dir), key, atomicfile.Options{Mode: 0o600})
	}
	switch {
	case err == nil && len(key) == sha256.Size:
		return &messageSigner{key}, nil
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return nil, corruptError(signingKeyPath(dir), errors.New("the key that proves what is ours is missing"))
	}
	return nil, &events.Error{Op: "natslog.loadSealer", Kind: kindOf(err), Subject: signingKeyPath(dir), Err: err}
}

// sign is the seal of a fact; of a request when its position is 0. The hash covers all
// of it, and for a fact everything before it.
func (s *messageSigner) sign(r events.Record) string {
	hash := r.Hash
	what := "fact"
	if r.Position == 0 {
		what, hash = "request", events.ChainHash(events.Hash{}, 0, r.Event)
	}
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(what))
	mac.Write(hash[:])
	return hex.EncodeToString(mac.Sum(nil))
}

// verify refuses what was not sealed here.
func (s *messageSigner) verify(r events.Record, seal string) error {
	if s == nil || hmac.Equal([]byte(s.sign(r)), []byte(seal)) {
		return nil
	}
	return &events.Error{
		Op: "natslog.check", Kind: events.ErrCorrupt, Subject: string(r.ID),
		Err: errors.New("it was not written by this host's daemon"), Hint: "somebody else writes to the cluster's streams of this host",
	}
}

// decodeRequest decodes a stored request.
func (e *engine) decodeRequest(headers events.Headers, data []byte) (events.Record, error) {
	r, err := events.DecodeHeaders(headers, data)
	if err == nil {
		err = e.signer.verify(events.Record{Event: r.Event}, headers[signatureHeader])
	}
	return r, err
}

// verifierFor gives what refuses messages of a stream that are not ours. A fact's place and
// chain are checked by the log.
func (e *engine) verifierFor(stream string) func(events.Headers, []byte) error {
	return func(headers events.Headers, data []byte) error {
		switch {
		case e.signer == nil:
			return nil
		case stream == RequestsStream:
			_, err := e.decodeRequest(headers, data)
			return err
		}
		r, err := events.DecodeHeaders(headers, data)
		if err == nil && events.ChainHash(r.Prev, r.Position, r.Event) != r.Hash {
			err = errors.New("its content does not match its hash")
		}
		if err == nil {
			err = e.signer.verify(r, headers[signatureHeader])
		}
		return err
	}
}
