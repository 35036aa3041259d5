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

// signatureHeader is the header with the signature of a message in a cluster.
const signatureHeader = "cortex-seal"

// messageSigner signs messages and verifies their signatures. A cluster's administrator can
// write to its streams. Without the key, which stays in the state directory, a message
// written there has no effect on this machine. A nil messageSigner is valid: with a server
// in this process messages are not signed.
type messageSigner struct{ key []byte }

func signingKeyPath(dir string) string { return filepath.Join(dir, "cluster.key") }

// loadSigner reads the key. With create it creates a missing key.
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
		return nil, corruptError(signingKeyPath(dir), errors.New("the key that signs messages is missing or incomplete"))
	}
	return nil, &events.Error{Op: "natslog.loadSigner", Kind: kindOf(err), Subject: signingKeyPath(dir), Err: err}
}

// sign returns the signature of a fact, or of a request when the position is 0. The
// signed hash covers the whole event, and for a fact all events before it.
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

// verify refuses a record without a valid signature.
func (s *messageSigner) verify(r events.Record, signature string) error {
	if s == nil || hmac.Equal([]byte(s.sign(r)), []byte(signature)) {
		return nil
	}
	return &events.Error{
		Op: "natslog.verify", Kind: events.ErrCorrupt, Subject: string(r.ID),
		Err: errors.New("it has no valid signature of this host's daemon"), Hint: "another client writes to this host's streams in the cluster; check who has access",
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

// verifierFor returns a function that refuses messages of a stream without a valid
// signature. The log checks a fact's position and chain.
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
