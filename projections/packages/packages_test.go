package packages_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cortex/events"
	"cortex/events/memlog"
	"cortex/projections/packages"
	"cortex/projections/projectiontest"
)

func TestMain(m *testing.M) { projectiontest.Main(m) }

func TestContract(t *testing.T) {
	projectiontest.Run(t, packages.Definition())
}

func build(t projectiontest.TB, dir string, records []events.Record) *packages.Reader {
	t.Helper()
	_, db := projectiontest.BuildModel(t, packages.Definition(), dir, records)
	return packages.NewReader(db)
}

func TestListMatchesTheInventory(t *testing.T) {
	base := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		records := projectiontest.History(rt, rapid.IntRange(2, 120).Draw(rt, "facts"))
		reader := build(rt, filepath.Join(base, fmt.Sprint(n)), records)
		inv := events.Inventory{}
		last := map[events.PackageKey]events.Position{}
		counts := map[events.PackageName]int{}
		for _, r := range records {
			f, err := events.Decode(r.Event)
			if err != nil {
				rt.Fatal(err)
			}
			inv.Apply(f)
			changes := events.ChangesOf(f)
			if adopted, ok := f.(*events.BaselineRecorded); ok {
				changes = events.DiffInventories(nil, events.NewInventory(adopted.Packages))
			}
			for _, c := range changes {
				last[c.PackageKey] = r.Position
				counts[c.Name]++
			}
		}
		list, err := reader.List(context.Background(), packages.Filter{})
		if err != nil {
			rt.Fatal(err)
		}
		var got []events.Package
		for _, p := range list {
			got = append(got, p.Package)
			if p.LastChange.Position != last[p.PackageKey] {
				rt.Fatalf("last change of %s at %d, not %d", p.PackageKey, last[p.PackageKey], p.LastChange.Position)
			}
		}
		if len(got) != len(inv) || len(got) > 0 && !cmp.Equal(inv.Packages(), got) {
			rt.Fatalf("(-log +list)\n%s", cmp.Diff(inv.Packages(), got))
		}
		for name, want := range counts {
			changes, err := reader.Changes(context.Background(), events.PackageKey{Name: name}, 0)
			if err != nil || len(changes) != want {
				rt.Fatalf("%s has %d changes, %v, not %d", name, len(changes), err, want)
			}
			for i, c := range changes[:len(changes)-1] {
				if c.Before != changes[i+1].After || c.Cause.Position <= changes[i+1].Cause.Position {
					rt.Fatalf("%s: change %d does not follow its predecessor", name, i)
				}
			}
		}
	})
}

var (
	noon     = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	txn      = events.TransactionID("01940000-0000-7000-8000-0000000000aa")
	one      = events.State{Version: "1.0", Want: events.WantInstall, Flag: events.FlagOK, Status: events.StatusInstalled}
	two      = events.State{Version: "2.0", Want: events.WantInstall, Flag: events.FlagOK, Status: events.StatusInstalled}
	auto     = events.State{Version: "1.0", Want: events.WantInstall, Flag: events.FlagOK, Status: events.StatusInstalled, Auto: true}
	held     = events.State{Version: "1.0", Want: events.WantHold, Flag: events.FlagOK, Status: events.StatusInstalled}
	leftOver = events.State{Version: "1.0", Want: events.WantDeinstall, Flag: events.FlagOK, Status: events.StatusConfigFiles}
)

func key(name string, arch events.Architecture) events.PackageKey {
	return events.PackageKey{Name: events.PackageName(name), Arch: arch}
}

// logOf returns records of facts, one second apart. Facts of a transaction have the id txn.
func logOf(t *testing.T, facts ...events.Fact) []events.Record {
	t.Helper()
	log := memlog.New(projectiontest.Host)
	for i, f := range facts {
		e := events.Event{
			ID: events.ID(fmt.Sprintf("01940000-0000-7000-8000-%012x", i+1)), Host: projectiontest.Host,
			Subject: events.MachineSubject(projectiontest.Host), Time: noon.Add(time.Duration(i+1) * time.Second),
		}
		switch f.(type) {
		case *events.Requested, *events.Succeeded, *events.Failed:
			e.Subject, e.Transaction = events.TransactionSubject(txn), txn
		}
		e, err := events.NewFactEvent(e, f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.Append(t.Context(), e, events.NoExpectation); err != nil {
			t.Fatal(err)
		}
	}
	var out []events.Record
	for r, err := range log.Read(t.Context(), events.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func machine(t *testing.T) *packages.Reader {
	return build(t, t.TempDir(), logOf(
		t,
		&events.BaselineRecorded{Packages: []events.Package{
			{PackageKey: key("libc6", "amd64"), State: auto},
			{PackageKey: key("libc6", "i386"), State: auto},
			{PackageKey: key("vim", "amd64"), State: one},
			{PackageKey: key("g++", "amd64"), State: held},
			{PackageKey: key("old", "amd64"), State: leftOver},
		}},
		&events.Requested{Number: 7, Intent: events.Intent{Verb: events.VerbUpgrade}},
		&events.Succeeded{Changes: []events.PackageChange{{PackageKey: key("vim", "amd64"), Before: one, After: two}}},
		&events.DriftDetected{Changes: []events.PackageChange{{PackageKey: key("old", "amd64"), Before: leftOver}, {PackageKey: key("vim", "amd64"), Before: two, After: one}}},
	))
}

func TestChangesHaveTheirCauses(t *testing.T) {
	reader := machine(t)
	changes, err := reader.Changes(t.Context(), key("vim", ""), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := []packages.ChangeRow{
		{events.PackageChange{PackageKey: key("vim", "amd64"), Before: two, After: one}, packages.ChangeCause{Position: 4, At: noon.Add(4 * time.Second), Kind: packages.ByDrift}},
		{
			events.PackageChange{PackageKey: key("vim", "amd64"), Before: one, After: two},
			packages.ChangeCause{Position: 3, At: noon.Add(3 * time.Second), Kind: packages.ByTransaction, Transaction: txn, Number: 7, Verb: events.VerbUpgrade},
		},
		{events.PackageChange{PackageKey: key("vim", "amd64"), After: one}, packages.ChangeCause{Position: 1, At: noon.Add(time.Second), Kind: packages.ByBaseline}},
	}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if limited, err := reader.Changes(t.Context(), key("vim", "amd64"), 2); err != nil || !cmp.Equal(want[:2], limited) {
		t.Errorf("with a limit: %v, %v", limited, err)
	}
	if none, err := reader.Changes(t.Context(), key("vim", "i386"), 0); err != nil || len(none) != 0 {
		t.Errorf("another architecture: %v, %v", none, err)
	}
	p, err := reader.Get(t.Context(), key("vim", "amd64"))
	if err != nil || p.State != one || p.LastChange.Kind != packages.ByDrift {
		t.Errorf("now: %+v, %v", p, err)
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	const form = `{"name":"vim","arch":"amd64","version":"1.0","want":"install","flag":"ok","status":"installed",` +
		`"since":{"position":4,"at":"2026-11-23T12:00:04Z","source":"drifted"}}`
	if diff := cmp.Diff(form, string(text)); diff != "" {
		t.Errorf("the JSON form changed (-want +got)\n%s", diff)
	}
}

func TestGetOfAPurgedPackageIsNotFound(t *testing.T) {
	if _, err := machine(t).Get(t.Context(), key("old", "amd64")); !errors.Is(err, events.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestListSelects(t *testing.T) {
	reader := machine(t)
	for name, c := range map[string]struct {
		filter packages.Filter
		want   []string
	}{
		"all":         {packages.Filter{}, []string{"g++:amd64", "libc6:amd64", "libc6:i386", "vim:amd64"}},
		"by name":     {packages.Filter{NamePattern: "libc6"}, []string{"libc6:amd64", "libc6:i386"}},
		"by pattern":  {packages.Filter{NamePattern: "*i*"}, []string{"libc6:amd64", "libc6:i386", "vim:amd64"}},
		"literally":   {packages.Filter{NamePattern: "*[+]?"}, nil},
		"held":        {packages.Filter{Held: true}, []string{"g++:amd64"}},
		"automatic":   {packages.Filter{Mark: packages.MarkAuto}, []string{"libc6:amd64", "libc6:i386"}},
		"manual":      {packages.Filter{Mark: packages.MarkManual}, []string{"g++:amd64", "vim:amd64"}},
		"by status":   {packages.Filter{Status: events.StatusConfigFiles}, nil},
		"a few":       {packages.Filter{Limit: 2}, []string{"g++:amd64", "libc6:amd64"}},
		"all at once": {packages.Filter{NamePattern: "l*", Status: events.StatusInstalled, Mark: packages.MarkAuto, Limit: 1}, []string{"libc6:amd64"}},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := reader.List(t.Context(), c.filter)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range found {
				got = append(got, p.PackageKey.String())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestSecondBaselineRecordsTheDifferences(t *testing.T) {
	reader := build(t, t.TempDir(), logOf(
		t,
		&events.BaselineRecorded{Packages: []events.Package{{PackageKey: key("vim", "amd64"), State: one}, {PackageKey: key("jq", "amd64"), State: one}, {PackageKey: key("sl", "amd64"), State: one}}},
		&events.BaselineRecorded{Packages: []events.Package{{PackageKey: key("vim", "amd64"), State: one}, {PackageKey: key("jq", "amd64"), State: two}}},
	))
	for name, want := range map[string]int{"vim": 1, "jq": 2, "sl": 2} {
		changes, err := reader.Changes(t.Context(), key(name, ""), 0)
		if err != nil || len(changes) != want {
			t.Errorf("%s: %v, %v", name, changes, err)
		}
	}
	list, err := reader.List(t.Context(), packages.Filter{})
	if err != nil || len(list) != 2 || list[0].LastChange.Position != 2 || list[1].LastChange.Position != 1 {
		t.Errorf("now: %+v, %v", list, err)
	}
}
