package limits_test

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
	"cortex/projections/limits"
	"cortex/projections/projectiontest"
)

func TestMain(m *testing.M) { projectiontest.Main(m) }

func TestContract(t *testing.T) {
	projectiontest.Run(t, limits.Definition())
}

func build(t projectiontest.TB, dir string, records []events.Record) *limits.Reader {
	t.Helper()
	_, db := projectiontest.BuildModel(t, limits.Definition(), dir, records)
	return limits.NewReader(db)
}

func TestProfilesAndGroupsMatchTheLog(t *testing.T) {
	base, n, seen := t.TempDir(), 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		records := projectiontest.History(rt, rapid.IntRange(300, 700).Draw(rt, "facts"))
		reader := build(rt, filepath.Join(base, fmt.Sprint(n)), records)
		profiles := map[string]limits.Profile{}
		applied := []limits.LimitedGroup{}
		for _, r := range records {
			f, err := events.Decode(r.Event)
			if err != nil {
				rt.Fatal(err)
			}
			switch f := f.(type) {
			case *events.LimitProfileSet:
				profiles[f.Name] = limits.Profile{LimitProfile: f.LimitProfile, Position: r.Position, At: r.Time}
			case *events.LimitsApplied:
				applied = append(applied, limits.LimitedGroup{LimitsApplied: *f, Position: r.Position, At: r.Time})
			case *events.LimitsReverted:
				seen++
				for i := range applied {
					if applied[i].Unit == f.Unit {
						applied[i].Ended, applied[i].Reverted = r.Time, f
					}
				}
			}
		}
		got, err := reader.LimitedGroups(context.Background(), limits.Filter{})
		if err != nil || !cmp.Equal(applied, got) {
			rt.Fatalf("%v (-log +read)\n%s", err, cmp.Diff(applied, got))
		}
		open, err := reader.LimitedGroups(context.Background(), limits.Filter{OnlyActive: true})
		for _, a := range applied {
			if a.Reverted == nil {
				if len(open) == 0 || open[0].Unit != a.Unit {
					rt.Fatalf("%s is active, %v, %+v", a.Unit, err, open)
				}
				open = open[1:]
			}
			if found, err := reader.Find(context.Background(), a.Unit); err != nil || found.Position != a.Position {
				rt.Fatalf("%s: %+v, %v", a.Unit, found, err)
			}
		}
		if len(open) > 0 {
			rt.Fatalf("also active: %+v", open)
		}
		list, err := reader.Profiles(context.Background())
		if err != nil || len(list) != len(profiles) {
			rt.Fatalf("%d profiles, %v, not %d", len(list), err, len(profiles))
		}
		for _, p := range list {
			if !cmp.Equal(profiles[p.Name], p) {
				rt.Fatalf("(-log +read)\n%s", cmp.Diff(profiles[p.Name], p))
			}
		}
	})
	if seen == 0 {
		t.Error("no history contains LimitsReverted")
	}
}

func TestFindOfAnUnknownGroupIsNotFound(t *testing.T) {
	r := build(t, t.TempDir(), nil)
	for _, unit := range []string{"cortex-batch-1", ""} {
		if _, err := r.Find(t.Context(), unit); !errors.Is(err, events.ErrNotFound) {
			t.Errorf("%q: got %v", unit, err)
		}
	}
}

func TestJSONForm(t *testing.T) {
	data, err := json.Marshal(limits.LimitedGroup{LimitsApplied: events.LimitsApplied{Unit: "u", Profile: "p", How: "run", Backend: "rlimits", Target: "sh"}, Position: 3})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"unit":"u","profile":"p","limits":{},"how":"run","backend":"rlimits","target":"sh","position":3,"at":"0001-01-01T00:00:00Z"}`
	if string(data) != want {
		t.Errorf("got %s", data)
	}
}
