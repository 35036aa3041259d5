package main

import (
	"crypto/rand"
	"encoding/json"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cortex/consumers/treehead"
	"cortex/events"
)

// tower returns the public key of a signed log of size records, and the proof of each.
func tower(t *testing.T, size int) (key string, proofs []string) {
	t.Helper()
	host := events.HostID("01940000-0000-7000-8000-000000000001")
	private, public, err := note.GenerateKey(rand.Reader, treehead.Origin(host))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(ids []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(ids))
		for i, id := range ids {
			out[i] = stored[id]
		}
		return out, nil
	})
	var records []events.Record
	var tree events.MerkleTree
	prev := events.Hash{}
	for n := range size {
		r := events.Record{Position: events.Position(n + 1), Prev: prev, Event: events.Event{
			ID: events.ID("01940000-0000-7000-8000-0000000000aa"), Kind: events.KindDeadLetterRetried, Host: host,
			Subject: events.LogSubject(host), Time: time.Unix(int64(n), 7).UTC(), Actor: events.Actor{User: "ann", Program: "cortex"}, Data: []byte(`{"parked":"ü"}`),
		}}
		r.Hash = events.ChainHash(r.Prev, r.Position, r.Event)
		prev = r.Hash
		tree.Append(r.Hash)
		more, err := tlog.StoredHashes(int64(n), r.Hash[:], reader)
		if err != nil {
			t.Fatal(err)
		}
		stored, records = append(stored, more...), append(records, r)
	}
	head, err := treehead.SignHead(signer, tree.Size(), tree.Root())
	if err != nil {
		t.Fatal(err)
	}
	for n, r := range records {
		proof, err := tlog.ProveRecord(int64(size), int64(n), reader)
		if err != nil {
			t.Fatal(err)
		}
		path := make([]events.Hash, len(proof))
		for i, h := range proof {
			path[i] = events.Hash(h)
		}
		b, err := json.Marshal(treehead.NewProof(r, head, path, public))
		if err != nil {
			t.Fatal(err)
		}
		proofs = append(proofs, string(b))
	}
	return public, proofs
}

func parse(t *testing.T, s string) proof {
	t.Helper()
	var p proof
	if err := json.Unmarshal([]byte(s), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestVerifyAcceptsTrueProofs(t *testing.T) {
	for size := 1; size <= 33; size++ {
		key, proofs := tower(t, size)
		for n, s := range proofs {
			if err := parse(t, s).verify(key + "\n"); err != nil {
				t.Errorf("event %d of %d: %v", n+1, size, err)
			}
		}
	}
}

func TestVerifyRefusesChangedProofs(t *testing.T) {
	key, proofs := tower(t, 13)
	other, _ := tower(t, 13)
	s := proofs[5]
	if parse(t, s).verify(other) == nil {
		t.Error("another key is accepted")
	}
	changes := map[string]func(*proof){
		"position": func(p *proof) { p.Position++ },
		"zero":     func(p *proof) { p.Position = 0 },
		"beyond":   func(p *proof) { p.Position = 14 },
		"prev":     func(p *proof) { p.Prev = p.Path[0] },
		"data":     func(p *proof) { p.Data += " " },
		"shifted":  func(p *proof) { p.Fields[0].Value, p.Fields[1].Value = p.Fields[0].Value+p.Fields[1].Value, "" },
		"shorter":  func(p *proof) { p.Path = p.Path[1:] },
		"longer":   func(p *proof) { p.Path = append(p.Path, p.Path[0]) },
		"swapped":  func(p *proof) { p.Path[0], p.Path[1] = p.Path[1], p.Path[0] },
		"size":     func(p *proof) { p.Head = "x" + p.Head },
	}
	for i := range parse(t, s).Fields {
		p := parse(t, s)
		p.Fields[i].Value += "x"
		if p.verify(key) == nil {
			t.Errorf("a changed %s is accepted", p.Fields[i].Name)
		}
	}
	for name, change := range changes {
		p := parse(t, s)
		change(&p)
		if p.verify(key) == nil {
			t.Errorf("%s: a changed proof is accepted", name)
		}
	}
}
