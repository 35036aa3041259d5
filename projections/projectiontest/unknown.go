package projectiontest

import (
	"testing"

	"cortex/events"
	"cortex/events/memlog"
)

// unknownKinds: a model skips events of a newer Cortex, live and in a replay.
func (s suite) unknownKinds(t *testing.T) {
	records := withUnknown(sampleHistory(150))
	log := must1(memlog.Restore(Host, records))(t)
	m := s.openModel(t, t.TempDir(), log)
	at := must1(m.Checkpoint(t.Context()))(t)
	if last := records[len(records)-1]; at.Position != last.Position {
		t.Errorf("the model stopped at event %d of %d", at.Position, last.Position)
	}
	if dead := must1(m.DeadLetters(t.Context()))(t); len(dead) > 0 {
		t.Errorf("dead letters: %v", dead)
	}
	diff := must1(m.VerifyAgainst(t.Context(), log))(t)
	if !diff.Empty() {
		t.Errorf("a replay differs: %v", diff)
	}
	live := s.emptyModel(t)
	apply(t, live, records)
	wantRows(t, Rows(t, m), live)
}

// withUnknown returns the records with an event of an unknown kind, and one of an unknown
// version, after each tenth.
func withUnknown(records []events.Record) []events.Record {
	var out []events.Record
	var prev events.Link
	add := func(r events.Record) {
		r.Position, r.Prev = prev.Position+1, prev.Hash
		r.Hash = events.ChainHash(r.Prev, r.Position, r.Event)
		prev, out = r.Link(), append(out, r)
	}
	for i, r := range records {
		add(r)
		if i%10 != 9 {
			continue
		}
		for j, kind := range []events.Kind{"machine.exploded.v1", "machine.drifted.v2"} {
			u := r
			u.ID = events.ID(string(r.ID)[:35] + string("cd"[j]))
			u.ID = "f" + u.ID[1:]
			u.Kind, u.Data = kind, []byte(`{"a":[1]}`)
			u.Subject, u.Transaction = events.MachineSubject(Host), ""
			add(u)
		}
	}
	return out
}
