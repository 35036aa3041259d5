package broker

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
)

// sealHeader carries the seal of a message that a cluster keeps.
const sealHeader = "cortex-seal"

// sealer proves that a message is ours. Whoever administers a cluster may write to its
// streams; without the key, which never leaves the state directory, nobody can write an
// approval there that this machine would act on. The nil sealer, of a server in our own
// process, seals nothing and takes everything.
type sealer struct{ key []byte }

func sealPath(dir string) string { return filepath.Join(dir, "cluster.key") }

// loadSealer reads the key, or makes it when the log is being made.
func loadSealer(dir string, create bool) (*sealer, error) {
	key, err := os.ReadFile(sealPath(dir))
	if errors.Is(err, fs.ErrNotExist) && create {
		key = make([]byte, sha256.Size)
		_, _ = rand.Read(key) // never fails
		if err = writeSynced(sealPath(dir), key, 0o600); err == nil {
			err = syncPath(dir)
		}
	}
	switch {
	case err == nil && len(key) == sha256.Size:
		return &sealer{key}, nil
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return nil, damaged(sealPath(dir), errors.New("the key that proves what is ours is missing"))
	}
	return nil, &events.Error{Op: "broker.loadSealer", Kind: kindOf(err), Subject: sealPath(dir), Err: err}
}

// of is the seal of a fact; of a request when its position is 0. The hash covers all
// of it, and for a fact everything before it.
func (s *sealer) of(r events.Record) string {
	hash := r.Hash
	what := "fact"
	if r.Position == 0 {
		what, hash = "request", events.Chain(events.Hash{}, 0, r.Event)
	}
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(what))
	mac.Write(hash[:])
	return hex.EncodeToString(mac.Sum(nil))
}

// check refuses what was not sealed here.
func (s *sealer) check(r events.Record, seal string) error {
	if s == nil || hmac.Equal([]byte(s.of(r)), []byte(seal)) {
		return nil
	}
	return &events.Error{
		Op: "broker.check", Kind: events.ErrCorrupt, Subject: string(r.ID),
		Err: errors.New("it was not written by this host's daemon"), Hint: "somebody else writes to the cluster's streams of this host",
	}
}

// request decodes a stored request.
func (e *engine) request(headers events.Headers, data []byte) (events.Record, error) {
	r, err := events.DecodeHeaders(headers, data)
	if err == nil {
		err = e.seal.check(events.Record{Event: r.Event}, headers[sealHeader])
	}
	return r, err
}

// proof gives what refuses messages of a stream that are not ours. A fact's place and
// chain are checked by the log.
func (e *engine) proof(stream string) func(events.Headers, []byte) error {
	return func(headers events.Headers, data []byte) error {
		switch {
		case e.seal == nil:
			return nil
		case stream == RequestsStream:
			_, err := e.request(headers, data)
			return err
		}
		r, err := events.DecodeHeaders(headers, data)
		if err == nil && events.Chain(r.Prev, r.Position, r.Event) != r.Hash {
			err = errors.New("its content does not match its hash")
		}
		if err == nil {
			err = e.seal.check(r, headers[sealHeader])
		}
		return err
	}
}
