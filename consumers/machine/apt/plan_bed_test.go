package apt_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
)

func with(s events.Step, change func(*events.Step)) events.Step {
	change(&s)
	return s
}

func noRecommends(s *events.Step) { s.NoRecommends = true }
func reinstall(s *events.Step)    { s.Reinstall = true }
func allowHeld(s *events.Step)    { s.AllowHeld = true }
func downgrade(s *events.Step)    { s.AllowDowngrade = true }

func TestPlanEqualsResult(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare [][]string // apt-get's arguments
		steps   []events.Step
		want    []string
	}{
		"install brings dependencies and recommended packages": {
			nil,
			[]events.Step{do(events.OpInstall, "toy-app")},
			[]string{"install toy-app 2.0", "install toy-extra 1.0 auto", "install toy-lib 2.0 auto"},
		},
		"install without recommended packages": {
			nil,
			[]events.Step{with(do(events.OpInstall, "toy-app"), noRecommends)},
			[]string{"install toy-app 2.0", "install toy-lib 2.0 auto"},
		},
		"install of versions": {
			nil,
			[]events.Step{with(do(events.OpInstall, "toy-app=1.0", "toy-lib=1.0"), noRecommends)},
			[]string{"install toy-app 1.0", "install toy-lib 1.0"},
		},
		"install of an exact pair": {
			nil,
			[]events.Step{do(events.OpInstall, "toy-pair-a=1.0", "toy-pair-b=1.0")},
			[]string{"install toy-pair-a 1.0", "install toy-pair-b 1.0"},
		},
		"install of what is there is nothing": {
			[][]string{{"install", "cowsay"}}, []events.Step{do(events.OpInstall, "cowsay")}, nil,
		},
		"naming an automatic package makes it manual": {
			[][]string{{"install", "toy-app"}},
			[]events.Step{do(events.OpInstall, "toy-lib")},
			[]string{"mark-manual toy-lib"},
		},
		"a mark that is put back is no change": {
			[][]string{{"install", "toy-app=1.0", "toy-lib=1.0"}, {"install", "toy-extra"}},
			[]events.Step{with(do(events.OpInstall, "toy-lib=2.0"), noRecommends), do(events.OpMarkAuto, "toy-lib"), do(events.OpMarkManual, "toy-lib")},
			[]string{"upgrade toy-lib 1.0→2.0"},
		},
		"remove": {
			[][]string{{"install", "toy-app"}},
			[]events.Step{do(events.OpRemove, "toy-app")},
			[]string{"remove toy-app 2.0"},
		},
		"remove takes dependents along": {
			[][]string{{"install", "toy-app"}},
			[]events.Step{do(events.OpRemove, "toy-lib")},
			[]string{"remove toy-app 2.0", "remove toy-lib 2.0"},
		},
		"remove of what is not there is nothing": {nil, []events.Step{do(events.OpRemove, "cowsay")}, nil},
		"purge": {
			[][]string{{"install", "toy-app"}},
			[]events.Step{do(events.OpPurge, "toy-app")},
			[]string{"purge toy-app 2.0"},
		},
		"purge of what was removed": {
			[][]string{{"install", "toy-app"}, {"remove", "toy-app"}},
			[]events.Step{do(events.OpPurge, "toy-app")},
			[]string{"purge toy-app"},
		},
		"forget of what was removed": {
			[][]string{{"install", "toy-app"}, {"remove", "toy-app"}},
			[]events.Step{do(events.OpPurgeLeftovers, "toy-app")},
			[]string{"purge toy-app"},
		},
		"remove, then forget": {
			[][]string{{"install", "toy-app"}},
			[]events.Step{do(events.OpInstall, "toy-app!"), do(events.OpPurgeLeftovers, "toy-app")},
			[]string{"purge toy-app 2.0"},
		},
		"install and removal in one run": {
			[][]string{{"install", "cowsay"}},
			[]events.Step{do(events.OpInstall, "sl", "cowsay!")},
			[]string{"remove cowsay 3.03", "install sl 5.02"},
		},
		"a conflict swaps": {
			[][]string{{"install", "toy-app"}},
			[]events.Step{do(events.OpInstall, "toy-alt")},
			[]string{"install toy-alt 1.0", "remove toy-app 2.0"},
		},
		"a file moves to another package": {
			[][]string{{"install", "toy-mover-a=1.0"}},
			[]events.Step{do(events.OpInstall, "toy-mover-b")},
			[]string{"upgrade toy-mover-a 1.0→2.0", "install toy-mover-b 2.0"},
		},
		"a virtual package with one provider": {
			nil, []events.Step{do(events.OpInstall, "toy-virtual-one")}, []string{"install toy-single 1.0"},
		},
		"upgrade of all": {
			[][]string{{"install", "toy-app=1.0", "toy-lib=1.0", "toy-rc=2.0~rc1", "toy-epoch=9.0"}},
			[]events.Step{{Op: events.OpUpgrade}},
			[]string{"upgrade toy-app 1.0→2.0", "upgrade toy-epoch 9.0→1:1.0", "upgrade toy-lib 1.0→2.0", "upgrade toy-rc 2.0~rc1→2.0"},
		},
		"upgrade of one": {
			[][]string{{"install", "toy-app=1.0", "toy-lib=1.0", "toy-rc=2.0~rc1"}},
			[]events.Step{do(events.OpUpgrade, "toy-rc")},
			[]string{"upgrade toy-rc 2.0~rc1→2.0"},
		},
		"upgrade of an automatic one makes it manual": {
			[][]string{{"install", "toy-needs2"}, {"install", "--allow-downgrades", "toy-lib=1.0", "toy-needs2-"}, {"install", "toy-c1"}, {"markauto", "toy-lib"}},
			[]events.Step{do(events.OpUpgrade, "toy-lib")},
			[]string{"upgrade toy-lib 1.0→2.0", "mark-manual toy-lib"},
		},
		"upgrade leaves what is held": {
			[][]string{{"install", "toy-epoch=9.0", "toy-rc=2.0~rc1"}, {"hold", "toy-epoch"}},
			[]events.Step{{Op: events.OpUpgrade}},
			[]string{"upgrade toy-rc 2.0~rc1→2.0"},
		},
		"upgrade of what is held lifts the hold": {
			[][]string{{"install", "toy-epoch=9.0"}, {"hold", "toy-epoch"}},
			[]events.Step{with(do(events.OpUpgrade, "toy-epoch"), allowHeld)},
			[]string{"upgrade toy-epoch 9.0→1:1.0", "unhold toy-epoch"},
		},
		"reinstall of what is held lifts the hold": {
			[][]string{{"install", "cowsay"}, {"hold", "cowsay"}},
			[]events.Step{with(with(do(events.OpInstall, "cowsay"), reinstall), allowHeld)},
			[]string{"reinstall cowsay 3.03", "unhold cowsay"},
		},
		"removal of what is held": {
			[][]string{{"install", "toy-app"}, {"hold", "toy-app"}},
			[]events.Step{with(do(events.OpRemove, "toy-app"), allowHeld)},
			[]string{"remove toy-app 2.0"},
		},
		"downgrade": {
			[][]string{{"install", "toy-app"}},
			[]events.Step{with(do(events.OpInstall, "toy-app=1.0"), downgrade)},
			[]string{"downgrade toy-app 2.0→1.0"},
		},
		"downgrade over an epoch, of a pair": {
			[][]string{{"install", "toy-epoch", "toy-pair-a"}},
			[]events.Step{with(do(events.OpInstall, "toy-epoch=9.0", "toy-pair-a=1.0", "toy-pair-b=1.0"), downgrade)},
			[]string{"downgrade toy-epoch 1:1.0→9.0", "downgrade toy-pair-a 2.0→1.0", "downgrade toy-pair-b 2.0→1.0", "mark-manual toy-pair-b"},
		},
		"reinstall keeps the mark": {
			[][]string{{"install", "toy-app"}},
			[]events.Step{with(do(events.OpInstall, "toy-lib"), reinstall)},
			[]string{"reinstall toy-lib 2.0"},
		},
		"reinstall of what is not there": {
			nil, []events.Step{with(do(events.OpInstall, "cowsay"), reinstall)}, []string{"install cowsay 3.03"},
		},
		"hold and unhold": {
			[][]string{{"install", "cowsay", "sl"}, {"hold", "sl"}},
			[]events.Step{do(events.OpHold, "cowsay", "sl"), do(events.OpUnhold, "sl")},
			[]string{"hold cowsay", "unhold sl"},
		},
		"hold of what was removed": {
			[][]string{{"install", "toy-app"}, {"remove", "toy-app"}},
			[]events.Step{do(events.OpHold, "toy-app")},
			[]string{"hold toy-app"},
		},
		"hold of what comes": {
			nil, []events.Step{do(events.OpInstall, "cowsay"), do(events.OpHold, "cowsay")}, []string{"install cowsay 3.03", "hold cowsay"},
		},
		"marks": {
			[][]string{{"install", "toy-app"}},
			[]events.Step{do(events.OpMarkAuto, "toy-app", "toy-lib"), do(events.OpMarkManual, "toy-extra")},
			[]string{"mark-auto toy-app", "mark-manual toy-extra"},
		},
		"marks of what comes": {
			nil, []events.Step{do(events.OpInstall, "cowsay"), do(events.OpMarkAuto, "cowsay")}, []string{"install cowsay 3.03 auto"},
		},
		"marks of what goes": {
			[][]string{{"install", "toy-app"}}, []events.Step{do(events.OpInstall, "toy-app!"), do(events.OpMarkAuto, "toy-app")}, []string{"remove toy-app 2.0"},
		},
		"what was left half-configured is configured along": {
			[][]string{{"later", "toy-later"}},
			[]events.Step{do(events.OpInstall, "cowsay")},
			[]string{"install cowsay 3.03", "configure toy-later 1.0"},
		},
		"what was left half-configured is configured even when there is nothing else": {
			[][]string{{"install", "cowsay"}, {"later", "toy-later"}},
			[]events.Step{do(events.OpInstall, "cowsay")},
			[]string{"configure toy-later 1.0"},
		},
		"essential packages are flagged": {
			[][]string{{"install", "toy-protected", "toy-important", "cowsay"}},
			[]events.Step{do(events.OpRemove, "toy-protected", "toy-important", "cowsay")},
			nil, // refused when run: see below
		},
		"another architecture": {
			[][]string{{"i386"}},
			[]events.Step{do(events.OpInstall, "toy-multi:i386=1.0", "toy-multi=1.0"), do(events.OpMarkAuto, "toy-multi:i386")},
			[]string{"install toy-multi 1.0", "install toy-multi:i386 1.0 auto"},
		},
		"both architectures move together": {
			[][]string{{"i386"}, {"install", "toy-multi:i386=1.0", "toy-multi=1.0"}},
			[]events.Step{do(events.OpUpgrade, "toy-multi:i386")},
			[]string{"upgrade toy-multi 1.0→2.0", "upgrade toy-multi:i386 1.0→2.0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			for _, args := range tc.prepare {
				b.prepare(args)
			}
			if name == "essential packages are flagged" {
				b.essential(tc.steps)
				return
			}
			if diff := cmp.Diff(tc.want, short(b.planAndRun(tc.steps...))); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// prepare runs apt-get, or one of the additional commands below.
func (b bed) prepare(args []string) {
	b.t.Helper()
	switch args[0] {
	case "hold":
		b.Bed.Run(b.t, "/usr/bin/apt-mark", "hold", args[1])
	case "markauto":
		b.Bed.Run(b.t, "/usr/bin/apt-mark", "auto", args[1])
	case "i386":
		b.Bed.Run(b.t, "/usr/bin/dpkg", "--add-architecture", "i386")
		b.apt("update")
	case "later": // fails now, and would not fail later
		if _, code := b.Try("/usr/bin/apt-get", "-y", "install", args[1]); code != 100 {
			b.t.Fatalf("%s did not fail", args[1])
		}
		b.WriteFile(b.t, "/run/"+args[1]+".ok", "")
	default:
		b.apt(args...)
	}
}

// essential plans a removal that apt refuses to carry out.
func (b bed) essential(steps []events.Step) {
	b.t.Helper()
	plan, err := b.Simulate(b.t.Context(), steps)
	if err != nil {
		b.t.Fatal(err)
	}
	want := []string{"remove cowsay 3.03", "remove toy-important 1.0 essential", "remove toy-protected 1.0 essential"}
	if diff := cmp.Diff(want, short(plan)); diff != "" {
		b.t.Errorf("plan (-want +got):\n%s", diff)
	}
	state := b.PackageStates(b.t)
	if _, err := b.run(steps[0]); !errors.Is(err, events.ErrApt) {
		b.t.Errorf("it ran: %v", err)
	}
	if diff := cmp.Diff(state, b.PackageStates(b.t)); diff != "" {
		b.t.Errorf("(-before +after):\n%s", diff)
	}
}

func TestPlanSizesAndOrigins(t *testing.T) {
	b := newBed(t)
	plan := b.planAndRun(do(events.OpInstall, "toy-app=1.0", "toy-lib=1.0"))
	var download, disk int64
	for _, c := range plan.Changes {
		if c.DownloadBytes <= 0 || c.DiskDelta <= 0 || c.Origin != "Toys:1/toys" {
			t.Errorf("%s: %d to fetch, %d on disk, from %q", c.Name, c.DownloadBytes, c.DiskDelta, c.Origin)
		}
		download, disk = download+c.DownloadBytes, disk+c.DiskDelta
	}
	if plan.DownloadBytes != download || plan.DiskDelta != disk {
		t.Errorf("%d to fetch in all, %d on disk; the parts are %d and %d", plan.DownloadBytes, plan.DiskDelta, download, disk)
	}
	removal := b.planAndRun(do(events.OpPurge, "toy-app", "toy-lib", "toy-extra"))
	if removal.DiskDelta != -disk || removal.DownloadBytes != 0 {
		t.Errorf("the removal frees %d of %d, fetches %d", removal.DiskDelta, disk, removal.DownloadBytes)
	}
}

func TestSimulateErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare []string
		step    events.Step
		kind    events.ErrorKind
		says    string
	}{
		"several providers":   {nil, do(events.OpInstall, "toy-virtual"), events.ErrNotFound, "several providers"},
		"unknown version":     {nil, do(events.OpInstall, "cowsay=9"), events.ErrNotFound, "was not found"},
		"unknown name":        {nil, do(events.OpInstall, "nosuch"), events.ErrNotFound, "Unable to locate"},
		"both at once":        {nil, do(events.OpInstall, "toy-app", "toy-alt"), events.ErrApt, "toy-alt : Conflicts: toy-app"},
		"dependency kept out": {nil, do(events.OpInstall, "toy-app", "toy-lib!"), events.ErrApt, "toy-app : Depends: toy-lib"},
		"gone reinstall":      {[]string{"install", "toy-epoch=9.0"}, with(do(events.OpInstall, "toy-epoch=9.0"), reinstall), events.ErrNotFound, "9.0"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			if tc.prepare != nil {
				b.apt(tc.prepare...)
				b.OfferNewest(t)
			}
			plan, err := b.Simulate(t.Context(), []events.Step{tc.step})
			if !errors.Is(err, tc.kind) || !strings.Contains(fmt.Sprint(err), tc.says) {
				t.Errorf("%v: %v", short(plan), err)
			}
		})
	}
}

func TestSimulateRefusesTwoAptSteps(t *testing.T) {
	b := newBed(t)
	if _, err := b.Simulate(t.Context(), []events.Step{do(events.OpInstall, "cowsay"), do(events.OpRemove, "sl")}); !errors.Is(err, events.ErrInternal) {
		t.Errorf("%v", err)
	}
}

// Random steps on machines in random states: every plan equals its outcome.
func TestRandomPlansEqualResults(t *testing.T) {
	const machines, stepsEach = 5, 6
	for seed := range uint64(machines) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			b := newBed(t)
			r := rand.New(rand.NewPCG(seed, 2))
			done := 0
			for range stepsEach {
				done += len(b.planAndRun(randomSteps(r)...).Changes)
				if t.Failed() {
					return
				}
			}
			if done == 0 {
				t.Error("nothing changed: the case is empty")
			}
		})
	}
}

var randomNames = []string{
	"cowsay", "sl", "toy-app", "toy-app=1.0", "toy-lib", "toy-lib=1.0", "toy-extra", "toy-alt", "toy-epoch", "toy-epoch=9.0",
	"toy-rc", "toy-rc=2.0~rc1", "toy-pair-a", "toy-pair-a=1.0", "toy-pair-b=1.0", "toy-c1", "toy-c2", "toy-needs2",
	"toy-mover-a=1.0", "toy-mover-b", "toy-virtual-one", "toy-single", "toy-altern", "toy-trigger", "toy-trigger-user",
}

func randomSteps(r *rand.Rand) []events.Step {
	pick := func(most int) []string {
		var words []string
		names := map[string]bool{}
		for range 1 + r.IntN(most) {
			w := randomNames[r.IntN(len(randomNames))]
			if name, _, _ := strings.Cut(w, "="); !names[name] {
				names[name] = true
				words = append(words, w)
			}
		}
		return words
	}
	bare := func(words []string) []string {
		for i, w := range words {
			words[i], _, _ = strings.Cut(w, "=")
		}
		return words
	}
	allow := func(s *events.Step) {
		s.AllowDowngrade, s.AllowHeld, s.NoRecommends = true, true, r.IntN(2) == 0
	}
	marks := []events.Op{events.OpHold, events.OpUnhold, events.OpMarkAuto, events.OpMarkManual}
	var steps []events.Step
	switch r.IntN(8) {
	case 0, 1, 2:
		steps = append(steps, with(do(events.OpInstall, compatible(pick(4))...), allow))
	case 3:
		steps = append(steps, with(with(do(events.OpInstall, bare(pick(2))...), allow), reinstall))
	case 4:
		steps = append(steps, with(do(events.OpRemove, bare(pick(2))...), allow))
	case 5:
		steps = append(steps, with(do(events.OpPurge, bare(pick(2))...), allow))
	case 6:
		steps = append(steps, events.Step{Op: events.OpUpgrade})
	case 7:
		steps = append(steps, with(do(events.OpUpgrade, bare(pick(2))...), allow))
	}
	if r.IntN(2) == 0 {
		names := slices.DeleteFunc(bare(pick(2)), func(n string) bool { return n == "toy-virtual-one" }) // apt-mark refuses it
		if len(names) > 0 {
			steps = append(steps, do(marks[r.IntN(len(marks))], names...))
		}
	}
	return steps
}

// compatible drops packages that conflict with the others.
func compatible(words []string) []string {
	has := func(w string) bool { return slices.Contains(words, w) }
	return slices.DeleteFunc(words, func(w string) bool {
		switch w {
		case "toy-alt":
			return has("toy-app") || has("toy-app=1.0")
		case "toy-lib=1.0":
			return has("toy-app") || has("toy-needs2")
		case "toy-pair-b=1.0":
			return has("toy-pair-a")
		case "toy-mover-a=1.0":
			return has("toy-mover-b")
		case "toy-rc=2.0~rc1":
			return len(words) > 3
		}
		return false
	})
}
