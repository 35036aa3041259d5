package apt_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cortex/consumers/machine"
	"cortex/consumers/machine/apt"
	"cortex/consumers/machine/testbed"
	"cortex/events"
)

// waitLimit bounds how long a test waits for another process.
const waitLimit = time.Minute

// bed is an isolated root with the Machine under test.
type bed struct {
	*testbed.Bed
	*apt.Machine
	t    *testing.T
	work string
}

func newBed(t *testing.T) bed {
	t.Helper()
	t.Parallel()
	return sequentialBed(t)
}

// sequentialBed is newBed for tests that change the process.
func sequentialBed(t *testing.T) bed {
	t.Helper()
	b := bed{Bed: testbed.New(t), t: t, work: t.TempDir()}
	b.Machine = apt.New(apt.Config{Root: b.Root(), WorkDir: b.work})
	return b
}

// apt runs apt-get like a user.
func (b bed) apt(args ...string) {
	b.t.Helper()
	b.Bed.Run(b.t, append([]string{"/usr/bin/apt-get", "-y", "-o", "APT::Get::AutomaticRemove=false"}, args...)...)
}

func (b bed) inventory() events.Inventory {
	b.t.Helper()
	inv, err := b.Inventory(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return inv
}

func (b bed) run(s events.Step) (machine.StepResult, error) {
	b.t.Helper()
	return b.Machine.Run(b.t.Context(), s, machine.RunOptions{Label: "test"})
}

func (b bed) until(what string, ok func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(waitLimit)
	for !ok() {
		if time.Now().After(deadline) {
			b.t.Fatalf("waited too long for %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// slow starts the installation of a package whose configuration waits until release is
// called. end returns the result.
func (b bed) slow(ctx context.Context) (end <-chan error, release func()) {
	b.t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := b.Machine.Run(ctx, do(events.OpInstall, "toy-slow"), machine.RunOptions{Label: "slow"})
		done <- err
	}()
	release = func() { b.WriteFile(b.t, "/run/toy-slow.go", "") }
	b.t.Cleanup(release)
	b.waiting()
	return done, release
}

func (b bed) waiting() {
	b.t.Helper()
	b.until("the slow package", func() bool { return b.Exists("/run/toy-slow.waiting") })
}

// target parses NAME[:ARCH][=VERSION]; a "!" at the end is a removal.
func target(word string) events.Target {
	word, remove := strings.CutSuffix(word, "!")
	ref, err := events.ParsePackageRef(word)
	if err != nil {
		panic(err)
	}
	return events.Target{PackageRef: ref, Remove: remove}
}

func do(op events.Op, words ...string) events.Step {
	s := events.Step{Op: op}
	for _, w := range words {
		s.Targets = append(s.Targets, target(w))
	}
	return s
}

func key(name string) events.PackageKey {
	return events.PackageKey{Name: events.PackageName(name), Arch: "amd64"}
}

// foretold returns the inventory after a plan.
func foretold(before events.Inventory, plan events.Plan, after events.Inventory) events.Inventory {
	next := events.Inventory{}
	for k, s := range before {
		next[k] = s
	}
	for _, c := range plan.Changes {
		s := next[c.PackageKey]
		switch c.Action {
		case events.ActionInstall:
			s = events.State{Version: c.To, Want: events.WantInstall, Flag: events.FlagOK, Status: events.StatusInstalled, Auto: c.Automatic}
		case events.ActionUpgrade, events.ActionDowngrade, events.ActionReinstall, events.ActionConfigure:
			s.Version, s.Flag, s.Status = c.To, events.FlagOK, events.StatusInstalled
		case events.ActionRemove:
			s = events.State{Version: c.From, Want: events.WantDeinstall, Flag: events.FlagOK, Status: events.StatusConfigFiles}
			if _, left := after[c.PackageKey]; !left { // it had nothing to leave
				s = events.State{}
			}
		case events.ActionPurge:
			s = events.State{}
		case events.ActionHold:
			s.Want = events.WantHold
		case events.ActionUnhold:
			s.Want = events.WantInstall
		case events.ActionMarkAuto, events.ActionMarkManual:
			s.Auto = c.Action == events.ActionMarkAuto
		}
		if s.Known() {
			next[c.PackageKey] = s
		} else {
			delete(next, c.PackageKey)
		}
	}
	return next
}

// planAndRun makes a plan, which must change nothing, carries it out, and compares the
// outcome with the plan.
func (b bed) planAndRun(steps ...events.Step) events.Plan {
	b.t.Helper()
	state := b.PackageStates(b.t)
	before := b.inventory()
	plan, err := b.Simulate(b.t.Context(), steps)
	if err != nil {
		b.t.Fatalf("plan %v: %v", steps, err)
	}
	if diff := cmp.Diff(state, b.PackageStates(b.t)); diff != "" {
		b.t.Fatalf("planning changed the machine (-before +after):\n%s", diff)
	}
	for _, s := range plan.Steps {
		if result, err := b.run(s); err != nil {
			b.t.Fatalf("run %v: %v\n%s", s, err, result.Output)
		}
	}
	after := b.inventory()
	if diff := cmp.Diff(foretold(before, plan, after), after); diff != "" {
		b.t.Errorf("steps %v\nplan %+v\ndiffers from the outcome (-plan +machine):\n%s", steps, plan.Changes, diff)
	}
	return plan
}

// short lists the changes of a plan in short form: "install toy-app 2.0", with "auto"
// for an automatic package.
func short(plan events.Plan) []string {
	var out []string
	for _, c := range plan.Changes {
		words := []string{string(c.Action), string(c.Name)}
		if c.Arch != "amd64" {
			words[1] = c.PackageKey.String()
		}
		switch {
		case c.From != "" && c.To != "" && c.From != c.To:
			words = append(words, string(c.From+"→"+c.To))
		case c.To != "":
			words = append(words, string(c.To))
		case c.From != "":
			words = append(words, string(c.From))
		}
		if c.Automatic {
			words = append(words, "auto")
		}
		if c.Essential {
			words = append(words, "essential")
		}
		out = append(out, strings.Join(words, " "))
	}
	return out
}
