package projectiontest

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
	"cortex/projections"
)

var errInjected = errors.New("injected fault")

// faultyStore fails every third write, alternately before and after the commit.
type faultyStore struct {
	projections.Store
	writes int
}

func (s *faultyStore) Write(ctx context.Context, f func(*sql.Tx) error) error {
	s.writes++
	switch s.writes % 6 {
	case 3:
		return s.Store.Write(ctx, func(tx *sql.Tx) error { return errors.Join(f(tx), errInjected) })
	case 0:
		return errors.Join(s.Store.Write(ctx, f), errInjected)
	}
	return s.Store.Write(ctx, f)
}

func (s suite) openFaulty(ctx context.Context, path string) (projections.Store, error) {
	store, err := s.open(ctx, path)
	return &faultyStore{Store: store}, err
}

func (s suite) failedCommits(t *testing.T) {
	records := sampleHistory(200)
	want := s.rowsAtOnce(t, records)
	m := s.openModelOf(t, s.definition, t.TempDir(), Log(t, nil), s.openFaulty)
	faults := 0
	for i := 0; i < len(records); i += 10 {
		batch := records[i : i+10]
		for err := m.Apply(t.Context(), batch); err != nil; err = m.Apply(t.Context(), batch) {
			if !errors.Is(err, errInjected) || !errors.Is(err, events.ErrUnavailable) {
				t.Fatal(err)
			}
			faults++
		}
	}
	if faults < 5 {
		t.Fatalf("only %d faults were injected", faults)
	}
	wantRows(t, want, m)
}

func (s suite) hole(t *testing.T) {
	records := sampleHistory(50)
	m := s.emptyModel(t)
	apply(t, m, records[:20])
	if err := m.Apply(t.Context(), records[21:]); !errors.Is(err, events.ErrCorrupt) {
		t.Fatalf("a record is missing between batches: %v", err)
	}
	wantRows(t, s.rowsAtOnce(t, records[:20]), m)
	holed := append(append([]events.Record{}, records[20:30]...), records[31:]...)
	if err := m.Apply(t.Context(), holed); !errors.Is(err, events.ErrCorrupt) {
		t.Fatalf("a record is missing in a batch: %v", err)
	}
	wantRows(t, s.rowsAtOnce(t, records[:30]), m)
	apply(t, m, records) // the file is not damaged
	wantRows(t, s.rowsAtOnce(t, records), m)
}

func (s suite) tampered(t *testing.T) {
	records := sampleHistory(50)
	for name, tamper := range map[string]func(*events.Record){
		"its data": func(r *events.Record) { r.Data = []byte(strings.Replace(string(r.Data), "{", "{ ", 1)) },
		"its time": func(r *events.Record) { r.Time = r.Time.Add(1) },
		"its data, hashed again": func(r *events.Record) {
			r.Data = []byte(strings.Replace(string(r.Data), "{", "{ ", 1))
			r.Hash = events.ChainHash(r.Prev, r.Position, r.Event)
		},
		"its host": func(r *events.Record) {
			r.Host = "01940000-0000-7000-8000-00000000ffff"
			r.Hash = events.ChainHash(r.Prev, r.Position, r.Event)
		},
	} {
		t.Run(name, func(t *testing.T) {
			forged := append([]events.Record{}, records...)
			tamper(&forged[30])
			m := s.emptyModel(t)
			if err := m.Apply(t.Context(), forged); !errors.Is(err, events.ErrCorrupt) {
				t.Fatalf("got %v", err)
			}
			if at, err := m.Checkpoint(t.Context()); err != nil || at.Position > 31 || at.Position < 30 {
				t.Fatalf("checkpoint: %d, %v", at.Position, err)
			}
		})
	}
	t.Run("the record that was applied last", func(t *testing.T) {
		m := s.emptyModel(t)
		apply(t, m, records[:30])
		forged := records[29]
		forged.Time = forged.Time.Add(1)
		forged.Hash = events.ChainHash(forged.Prev, forged.Position, forged.Event)
		if err := m.Apply(t.Context(), []events.Record{forged}); !errors.Is(err, events.ErrCorrupt) {
			t.Fatalf("got %v", err)
		}
	})
}

// fileDamage damages a file while the read model is closed.
type fileDamage struct {
	apply  func(t *testing.T, link, file string)
	reason string // part of the rebuild reason
}

// fileDamages are the damages that a rebuild repairs.
func fileDamages() map[string]fileDamage {
	return map[string]fileDamage{
		"the link was deleted": {func(t *testing.T, link, _ string) { must(t, os.Remove(link)) }, "was missing"},
		"the file was deleted": {func(t *testing.T, _, file string) { must(t, os.Remove(file)) }, "was missing"},
		"garbage was written over it": {func(t *testing.T, _, file string) {
			must(t, os.WriteFile(file, []byte(strings.Repeat("garbage ", 1000)), 0o600))
		}, "was unreadable"},
		"the file is empty":      {func(t *testing.T, _, file string) { must(t, os.Truncate(file, 0)) }, "was unreadable"},
		"the file was truncated": {func(t *testing.T, _, file string) { must(t, os.Truncate(file, 3*4096)) }, ""},
		"a page was overwritten": {func(t *testing.T, _, file string) {
			data := must1(os.ReadFile(file))(t)
			copy(data[2*4096:], strings.Repeat("\xa5", 4096))
			must(t, os.WriteFile(file, data, 0o600))
		}, ""},
		"a file is in place of the link": {func(t *testing.T, link, file string) {
			must(t, os.Remove(link))
			must(t, os.Rename(file, link))
		}, "was unreadable"},
		"the link points to another file": {func(t *testing.T, link, _ string) {
			must(t, os.Remove(link))
			must(t, os.Symlink("/dev/null", link))
		}, "was unreadable"},
		"another version":  {execOnFile("UPDATE checkpoint SET version = version + 1"), "had version"},
		"another table":    {execOnFile("CREATE TABLE additional (x INTEGER) STRICT"), "had another schema"},
		"another index":    {execOnFile("CREATE INDEX additional ON dead_letter (kind)"), "had another schema"},
		"another host":     {execOnFile("UPDATE checkpoint SET host = 'x'"), "belonged to another host"},
		"ahead of the log": {execOnFile("UPDATE checkpoint SET position = 999"), "was ahead of the log"},
		"another log": {
			execOnFile("UPDATE checkpoint SET hash = '" + events.Hash{1}.String() + "'"), "followed another log",
		},
		"no checkpoint":                    {execOnFile("DELETE FROM checkpoint"), "was unreadable"},
		"a checkpoint at another position": {execOnFile("UPDATE checkpoint SET position = 7"), "followed another log"},
	}
}

// damagedFile damages the file of a closed read model and opens it.
func (s suite) damagedFile(t *testing.T) {
	records := sampleHistory(120)
	want := s.rowsAtOnce(t, records)
	for name, c := range fileDamages() {
		t.Run(name, func(t *testing.T) {
			dir, log := t.TempDir(), Log(t, records)
			m := s.openModel(t, dir, log)
			must(t, m.Close())
			link := m.Path()
			c.apply(t, link, filepath.Join(dir, must1(os.Readlink(link))(t)))
			m = s.openModel(t, dir, log)
			if why := m.RebuildReason(); !strings.Contains(why, c.reason) || !strings.HasSuffix(why, "rebuilt from 120 events") || strings.Contains(why, "\n") {
				t.Errorf("rebuild reason %q", why)
			}
			wantRows(t, want, m)
			must(t, m.Close())
			again := s.openModel(t, dir, log)
			if why := again.RebuildReason(); why != "" {
				t.Errorf("it was rebuilt again: %s", why)
			}
			wantOneGeneration(t, dir)
		})
	}
}

// otherVersion opens a file with another definition.
func (s suite) otherVersion(t *testing.T) {
	records := sampleHistory(120)
	want := s.rowsAtOnce(t, records)
	newer, edited := s.definition, s.definition
	newer.Version++
	edited.Schema += ";CREATE TABLE additional (x INTEGER) STRICT;"
	for name, d := range map[string]projections.Definition{"newer version": newer, "edited schema": edited} {
		t.Run(name, func(t *testing.T) {
			dir, log := t.TempDir(), Log(t, records)
			must(t, s.openModel(t, dir, log).Close())
			m := s.openModelOf(t, d, dir, log, s.open)
			if m.RebuildReason() == "" {
				t.Error("it was not rebuilt")
			}
			got := Rows(t, m)
			delete(got, "additional")
			got["checkpoint"] = want["checkpoint"] // contains the version and the schema
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rows (-want +got)\n%s", diff)
			}
		})
	}
}

// commentedSchema opens a file with a schema that differs only in comments.
func (s suite) commentedSchema(t *testing.T) {
	records := sampleHistory(20)
	dir, log := t.TempDir(), Log(t, records)
	must(t, s.openModel(t, dir, log).Close())
	d := s.definition
	d.Schema = "-- a comment\n" + strings.ReplaceAll(d.Schema, ",\n", ", -- a comment\n")
	m := s.openModelOf(t, d, dir, log, s.open)
	if why := m.RebuildReason(); why != "" {
		t.Errorf("rebuild reason %q", why)
	}
	diff, err := m.VerifyAgainst(t.Context(), log)
	if err != nil || !diff.Empty() {
		t.Errorf("verification: %v, %v", diff, err)
	}
}

// execOnFile runs a statement on the file.
func execOnFile(statement string) func(t *testing.T, link, file string) {
	return func(t *testing.T, _, file string) {
		store := must1(Open(t.Context(), file))(t)
		must(t, store.Write(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), statement)
			return err
		}))
		must(t, store.Close())
	}
}

func wantOneGeneration(t *testing.T, dir string) {
	t.Helper()
	var bases []string
	for _, e := range must1(os.ReadDir(dir))(t) {
		if e.Type()&fs.ModeSymlink == 0 && strings.HasSuffix(e.Name(), ".db") {
			bases = append(bases, e.Name())
		}
	}
	if len(bases) != 1 {
		t.Errorf("remaining files: %v", bases)
	}
}

func (s suite) freshModel(t *testing.T) {
	if why := s.emptyModel(t).RebuildReason(); why != "" {
		t.Errorf("rebuild reason %q", why)
	}
}

func must(t TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must1 returns a function that returns v, or fails the test if err is not nil.
func must1[T any](v T, err error) func(TB) T {
	return func(t TB) T {
		t.Helper()
		must(t, err)
		return v
	}
}
