package inventory_test

import (
	"context"
	"errors"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cortex/consumers/inventory"
	"cortex/consumers/machine/fakeapt"
	"cortex/consumers/recorder/recordertest"
	"cortex/events"
)

func baseline(names ...events.PackageName) *events.BaselineRecorded {
	f := &events.BaselineRecorded{}
	for _, n := range names {
		f.Packages = append(f.Packages, events.Package{PackageKey: recordertest.Key(n), State: fakeapt.Installed("1.0")})
	}
	return f
}

// For all histories: the inventory at a position is what the tracker returned when that
// position was the newest, for a tracker that followed the log and for a new one.
func TestInventoryAtPositionNeverChanges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := recordertest.New()
		follower := inventory.New(s.Log)
		now := events.Inventory{recordertest.Key("base"): fakeapt.Installed("1.0")}
		want := map[events.Position]events.Inventory{}
		first := recordertest.Append(t, s, baseline("base"))
		want[first.Position] = maps.Clone(now)
		for range rapid.IntRange(1, 15).Draw(rt, "facts") {
			key := recordertest.Key(rapid.SampledFrom([]events.PackageName{"base", "aa", "bb"}).Draw(rt, "package"))
			state := rapid.SampledFrom([]events.State{{}, fakeapt.Installed("1.0"), fakeapt.Installed("2.0")}).Draw(rt, "state")
			r := recordertest.Append(t, s, &events.DriftDetected{Changes: []events.PackageChange{{PackageKey: key, Before: now[key], After: state}}})
			if delete(now, key); state.Known() {
				now[key] = state
			}
			want[r.Position] = maps.Clone(now)
			got, hasBaseline, err := follower.Current(context.Background())
			if err != nil || !hasBaseline {
				rt.Fatalf("baseline %v, %v", hasBaseline, err)
			}
			if diff := cmp.Diff(now, got); diff != "" {
				rt.Fatalf("present inventory (-want +got):\n%s", diff)
			}
		}
		for _, tracker := range []*inventory.Tracker{follower, inventory.New(s.Log)} {
			for p, inv := range want {
				got, err := tracker.At(context.Background(), p)
				if diff := cmp.Diff(inv, got); err != nil || diff != "" {
					rt.Fatalf("at %d: %v (-want +got):\n%s", p, err, diff)
				}
			}
		}
	})
}

func TestInventoryWithoutBaseline(t *testing.T) {
	s := recordertest.New()
	inv, hasBaseline, err := inventory.New(s.Log).Current(t.Context())
	if len(inv) != 0 || hasBaseline || err != nil {
		t.Errorf("%v, baseline %v, %v", inv, hasBaseline, err)
	}
}

func TestInventorySecondBaselineReplacesFirst(t *testing.T) {
	s := recordertest.New()
	tracker := inventory.New(s.Log)
	old := recordertest.Append(t, s, baseline("aa", "bb"))
	if inv, _, err := tracker.Current(t.Context()); err != nil || len(inv) != 2 {
		t.Fatalf("%v, %v", inv, err)
	}
	second := recordertest.Append(t, s, baseline("bb", "cc"))
	inv, _, err := tracker.Current(t.Context())
	if diff := cmp.Diff(events.NewInventory(baseline("bb", "cc").Packages), inv); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got, err := tracker.At(t.Context(), old.Position); !errors.Is(err, events.ErrConflict) {
		t.Errorf("before the second baseline: %v, %v; want a conflict", got, err)
	}
	if got, err := tracker.At(t.Context(), second.Position); err != nil || len(got) != 2 {
		t.Errorf("at the second baseline: %v, %v", got, err)
	}
}

func TestInventoryCopyBelongsToCaller(t *testing.T) {
	s := recordertest.New()
	tracker := inventory.New(s.Log)
	recordertest.Append(t, s, baseline("aa"))
	first, _, err := tracker.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	clear(first)
	if again, _, err := tracker.Current(t.Context()); err != nil || len(again) != 1 {
		t.Errorf("%v, %v", again, err)
	}
}
