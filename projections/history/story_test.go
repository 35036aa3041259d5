package history_test

import (
	"fmt"
	"time"

	"cortex/events"
	"cortex/projections/projectiontest"
)

// story builds a history of given facts, one second apart.
type story struct {
	records []events.Record
	numbers int
	now     time.Time
	actor   events.Actor
}

func newStory() *story {
	s := &story{
		now:   time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		actor: events.Actor{UID: 1000, User: "kim", LoginUID: 1000, SudoUser: "kim", TTY: "pts/1", Program: "cortex", PID: 42},
	}
	s.add("", &events.LogOpened{Host: projectiontest.Host})
	return s
}

func storyID(n int) events.ID {
	return events.ID(fmt.Sprintf("%08x-0000-7000-8000-%012x", 0x01940000+n*17, n))
}

// add appends a fact about a transaction, or about the machine.
func (s *story) add(id events.TransactionID, f events.Fact) events.Record {
	n := len(s.records) + 1
	s.now = s.now.Add(time.Second)
	subject := events.MachineSubject(projectiontest.Host)
	if id != "" {
		subject = events.TransactionSubject(id)
	}
	if _, ok := f.(*events.DeadLettered); ok {
		subject = events.DeadLetterSubject(storyID(n))
	}
	e, err := events.NewFactEvent(events.Event{ID: storyID(n), Host: projectiontest.Host, Subject: subject, Time: s.now, Transaction: id, Actor: s.actor}, f)
	if err != nil {
		panic(err)
	}
	var prev events.Link
	if n > 1 {
		prev = s.records[n-2].Link()
	}
	r := events.Record{Event: e, Position: prev.Position + 1, Prev: prev.Hash}
	r.Hash = events.ChainHash(r.Prev, r.Position, e)
	s.records = append(s.records, r)
	return r
}

// request appends a request, which opens a transaction.
func (s *story) request(in events.Intent) events.TransactionID {
	s.numbers++
	id := events.TransactionID(storyID(len(s.records) + 1))
	s.add(id, &events.Requested{Number: s.numbers, Intent: in})
	return id
}

func installed(version string) events.State {
	return events.State{Version: events.Version(version), Want: events.WantInstall, Flag: events.FlagOK, Status: events.StatusInstalled}
}

// change is the installation of a package in version 1.0.
func change(name string) events.PackageChange {
	return events.PackageChange{PackageKey: events.PackageKey{Name: events.PackageName(name), Arch: "amd64"}, After: installed("1.0")}
}

// back swaps before and after.
func back(changes []events.PackageChange) []events.PackageChange {
	var out []events.PackageChange
	for _, c := range changes {
		c.Before, c.After = c.After, c.Before
		out = append(out, c)
	}
	return out
}

func planFor(changes []events.PackageChange) events.Plan {
	var plan events.Plan
	step := events.Step{Op: events.OpInstall}
	for i, c := range changes {
		plan.Changes = append(plan.Changes, events.PlannedChange{
			PackageKey: c.PackageKey, Action: events.ActionInstall, To: c.After.Version, Automatic: i > 0, Origin: "Debian:12/stable", DownloadBytes: 1000, DiskDelta: 5000,
		})
		step.Targets = append(step.Targets, events.Target{PackageRef: events.PackageRef{Name: c.Name}})
	}
	plan.Steps, plan.DownloadBytes, plan.DiskDelta = []events.Step{step}, 1000, 5000
	return plan
}

// run appends the facts from the plan to the success of a transaction.
func (s *story) run(id events.TransactionID, changes []events.PackageChange) {
	plan := planFor(changes)
	s.add(id, &events.Planned{PlanID: plan.ID(), Plan: plan, InventoryHash: "00ff"})
	s.add(id, &events.Approved{PlanID: plan.ID(), How: "prompt"})
	s.add(id, &events.Started{PlanID: plan.ID(), InventoryHash: "00ff"})
	s.add(id, &events.StepStarted{Index: 0, Op: events.OpInstall, Argv: []string{"apt-get", "install", "-y"}})
	s.add(id, &events.StepSucceeded{Index: 0, Output: "Setting up …\n", DurationMs: 1200})
	s.add(id, &events.Succeeded{Changes: changes})
}

// running appends a transaction without steps that has started.
func (s *story) running() events.TransactionID {
	id := s.request(events.Intent{Verb: events.VerbUpgrade})
	plan := planFor(changesOf([]string{"x11"}))
	s.add(id, &events.Planned{PlanID: plan.ID(), Plan: plan})
	s.add(id, &events.Approved{PlanID: plan.ID()})
	s.add(id, &events.Started{PlanID: plan.ID()})
	return id
}

// finish appends the success of a running transaction.
func (s *story) finish(id events.TransactionID) {
	s.add(id, &events.Succeeded{Changes: changesOf([]string{"x11"})})
}

// install appends the installation of packages. Only the first one is requested.
func (s *story) install(names ...string) events.TransactionID {
	id := s.request(events.Intent{
		Verb: events.VerbInstall, Packages: []events.PackageRef{{Name: events.PackageName(names[0])}}, CommandLine: "cortex install " + names[0],
	})
	s.run(id, changesOf(names))
	return id
}

func changesOf(names []string) []events.PackageChange {
	var changes []events.PackageChange
	for _, name := range names {
		changes = append(changes, change(name))
	}
	return changes
}

// undo appends an exact undo or redo of a transaction.
func (s *story) undo(verb events.Verb, target events.TransactionID, changes []events.PackageChange) events.TransactionID {
	id := s.request(events.Intent{Verb: verb, Target: target, CommandLine: "cortex " + string(verb)})
	s.run(id, changes)
	s.add(target, &events.Compensated{By: id, Exact: true})
	return id
}
