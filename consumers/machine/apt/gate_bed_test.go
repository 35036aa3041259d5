package apt_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/consumers/machine"
	"cortex/consumers/machine/apt"
	"cortex/consumers/machine/blobstore"
	"cortex/events"
)

func TestGateReceivesPendingActions(t *testing.T) {
	b := newBed(t)
	b.apt("install", "toy-app=1.0", "toy-lib=1.0")
	for _, tc := range []struct {
		name string
		step events.Step
		want []string
	}{
		{"upgrade", events.Step{Op: events.OpUpgrade}, []string{"toy-app 1.0→2.0 deb", "toy-lib 1.0→2.0 deb"}},
		{"downgrade", events.Step{Op: events.OpInstall, AllowDowngrade: true, Targets: []events.Target{
			{PackageRef: events.PackageRef{Name: "toy-app", Version: "1.0"}},
		}}, []string{"toy-app 2.0→1.0 deb"}},
		{"remove", do(events.OpRemove, "toy-app"), []string{"toy-app 1.0→ removed"}},
		{"purge of what is left", do(events.OpPurge, "toy-app"), []string{"toy-app 1.0→ removed"}},
	} {
		var heard []string
		_, err := b.Machine.Run(t.Context(), tc.step, machine.RunOptions{Label: "a", Gate: func(_ context.Context, about []machine.PendingAction) error {
			for _, a := range about {
				line := string(a.Name) + " " + string(a.Old) + "→" + string(a.New)
				switch {
				case a.Remove:
					line += " removed"
				case a.Deb != "":
					if _, err := os.Stat(a.Deb); err != nil {
						t.Error(err)
					}
					line += " deb"
				default:
					continue // configure
				}
				heard = append(heard, line)
			}
			return nil
		}})
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		slices.Sort(heard)
		if diff := cmp.Diff(tc.want, heard); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestGateVetoChangesNothing(t *testing.T) {
	b := newBed(t)
	b.apt("install", "toy-lib=1.0")
	before := b.inventory()
	no := &events.Error{Op: "test", Kind: events.ErrStale, Err: errors.New("no")}
	_, err := b.Machine.Run(t.Context(), events.Step{Op: events.OpUpgrade}, machine.RunOptions{Label: "a", Gate: func(context.Context, []machine.PendingAction) error { return no }})
	if !errors.Is(err, events.ErrStale) {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, b.inventory()); diff != "" {
		t.Error(diff)
	}
	b.apt("install", "cowsay") // nothing is in the way
}

// A gate without a process is a veto: apt must neither wait nor continue.
func TestGateProcessDeathChangesNothing(t *testing.T) {
	b := newBed(t)
	before := b.inventory()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := b.Machine.Run(ctx, do(events.OpInstall, "cowsay"), machine.RunOptions{Label: "a", Gate: func(ctx context.Context, _ []machine.PendingAction) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := b.Recover(t.Context()); err != nil { // waits for the orphan
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, b.inventory()); diff != "" {
		t.Error(diff)
	}
}

func TestInstallVersionFromStore(t *testing.T) {
	b := newBed(t)
	v, err := blobstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b.Machine = apt.New(apt.Config{Root: b.Root(), WorkDir: b.work, PlaceDeb: v.PlaceDeb})
	key := events.PackageKey{Name: "toy-lib", Arch: "amd64"}
	var kept events.Deb
	_, err = b.Machine.Run(t.Context(), events.Step{Op: events.OpInstall, Targets: []events.Target{{PackageRef: events.PackageRef{Name: "toy-lib", Version: "1.0"}}}},
		machine.RunOptions{Label: "a", Gate: func(_ context.Context, about []machine.PendingAction) error {
			for _, a := range about {
				if a.Deb != "" {
					kept, err = v.PutDeb(a.PackageKey, a.New, a.Deb)
				}
			}
			return err
		}})
	if err != nil {
		t.Fatal(err)
	}
	if found, ok := v.Deb(key, "1.0"); !ok || found != kept || v.CheckDeb(found.Digest) != nil {
		t.Fatalf("stored %+v, found %+v", kept, found)
	}
	b.apt("install", "toy-lib=2.0")
	back := events.Step{Op: events.OpInstall, AllowDowngrade: true, Targets: []events.Target{
		{PackageRef: events.PackageRef{Name: "toy-lib", Version: "1.0"}, Deb: kept.Digest},
	}}
	plan, err := b.Simulate(t.Context(), []events.Step{back})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Changes) != 1 || plan.Changes[0].Action != events.ActionDowngrade || plan.Changes[0].To != "1.0" {
		t.Errorf("plan %+v", plan.Changes)
	}
	if plan.DownloadBytes != 0 {
		t.Errorf("it would fetch %d bytes of a given file", plan.DownloadBytes)
	}
	if _, err := b.run(back); err != nil {
		t.Fatal(err)
	}
	if got := b.inventory()[key].Version; got != "1.0" {
		t.Errorf("installed %s", got)
	}
	if left, _ := filepath.Glob(filepath.Join(b.Root(), apt.DebDir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
