package hardware_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cortex/events"
	"cortex/projections/hardware"
	"cortex/projections/projectiontest"
)

func TestMain(m *testing.M) { projectiontest.Main(m) }

func TestContract(t *testing.T) {
	projectiontest.Run(t, hardware.Definition())
}

func build(t projectiontest.TB, dir string, records []events.Record) *hardware.Reader {
	t.Helper()
	_, db := projectiontest.BuildModel(t, hardware.Definition(), dir, records)
	return hardware.NewReader(db)
}

func TestSnapshotsMatchTheLog(t *testing.T) {
	base, n, seen := t.TempDir(), 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		records := projectiontest.History(rt, rapid.IntRange(2, 200).Draw(rt, "facts"))
		reader := build(rt, filepath.Join(base, fmt.Sprint(n)), records)
		list, err := reader.List(context.Background(), 0)
		if err != nil {
			rt.Fatal(err)
		}
		var before []events.HardwareFact
		i := 0
		for _, r := range records {
			f, err := events.Decode(r.Event)
			if err != nil {
				rt.Fatal(err)
			}
			s, ok := f.(*events.HardwareSnapshot)
			if !ok {
				continue
			}
			seen++
			want := hardware.SnapshotSummary{
				Position: r.Position, At: r.Time, Reason: s.Reason, BootID: s.BootID, DevicesHash: s.DevicesHash, StableHash: s.StableHash,
				TookUs: s.TookUs, Facts: len(s.Facts),
			}
			if before != nil {
				want.Changed = len(events.DiffHardware(before, s.Facts))
			}
			before = s.Facts
			if i >= len(list) || !cmp.Equal(want, list[i]) {
				rt.Fatalf("snapshot %d is missing or differs: want %+v in %+v", i, want, list)
			}
			i++
			facts, err := reader.Facts(context.Background(), r.Position)
			if err != nil || !cmp.Equal(s.Facts, facts) {
				rt.Fatalf("facts at %d: %v\n%s", r.Position, err, cmp.Diff(s.Facts, facts))
			}
		}
		if i != len(list) {
			rt.Fatalf("%d snapshots, the list has %d", i, len(list))
		}
		if few, err := reader.List(context.Background(), 1); err != nil || i > 0 && !cmp.Equal(list[i-1:], few) {
			rt.Fatalf("newest snapshot: %+v, %v", few, err)
		}
	})
	if seen == 0 && n >= 50 { // a slow machine draws fewer histories
		t.Errorf("none of %d histories has a snapshot", n)
	}
}

func TestFactsWithoutSnapshotIsNotFound(t *testing.T) {
	if _, err := build(t, t.TempDir(), nil).Facts(t.Context(), 7); !errors.Is(err, events.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestJSONForm(t *testing.T) {
	data, err := json.Marshal(hardware.SnapshotSummary{Position: 3, Reason: events.HardwareSnapshotAtStart, BootID: "b", DevicesHash: "d", StableHash: "s", TookUs: 5, Facts: 4, Changed: 1})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"position":3,"at":"0001-01-01T00:00:00Z","reason":"start","boot_id":"b","devices":"d","stable":"s","took_us":5,"facts":4,"changed":1}`
	if string(data) != want {
		t.Errorf("got %s", data)
	}
}
