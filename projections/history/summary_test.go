package history_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
	"cortex/projections/history"
)

func refs(names ...string) []events.PackageRef {
	var out []events.PackageRef
	for _, n := range names {
		out = append(out, events.PackageRef{Name: events.PackageName(n)})
	}
	return out
}

func TestSummary(t *testing.T) {
	for want, c := range map[string]struct {
		requested []string
		changed   []string
	}{
		"cowsay":               {[]string{"cowsay"}, []string{"cowsay"}},
		"cowsay, sl (+3)":      {[]string{"cowsay", "sl"}, []string{"cowsay", "perl", "libx", "liby", "sl"}},
		"sl, sm, sn (+2)":      {[]string{"sl", "sm", "sn", "so"}, []string{"sl", "perl"}},
		"sl":                   {[]string{"sl", "sl"}, nil},
		"":                     {nil, nil},
		"a1, a2, a3 (+2)":      {nil, []string{"a1", "a2", "a3", "a4", "a5"}},
		"only-requested (+1)":  {[]string{"only-requested"}, []string{"other"}},
		"multiarch, one, more": {nil, []string{"multiarch", "one", "more"}},
	} {
		s := newStory()
		id := s.request(events.Intent{Verb: events.VerbUpgrade, Packages: refs(c.requested...)})
		s.run(id, changesOf(c.changed))
		_, reader := build(t, t.TempDir(), s.records)
		d, err := reader.Show(t.Context(), "last")
		if err != nil || d.Summary != want {
			t.Errorf("requested %v, changed %v: %q, %v, not %q", c.requested, c.changed, d.Summary, err, want)
		}
	}
}

func TestCounts(t *testing.T) {
	absent := events.State{}
	one, two := installed("1.0"), installed("2.0")
	auto, held, half, config := one, one, one, one
	auto.Auto = true
	held.Want = events.WantHold
	half.Status = events.StatusHalfConfigured
	config.Status, config.Want = events.StatusConfigFiles, events.WantDeinstall
	for name, c := range map[string]struct {
		before, after events.State
		planned       events.Action
		want          history.Counts
	}{
		"installed":                        {absent, one, events.ActionInstall, history.Counts{Installed: 1}},
		"installed over its configuration": {config, one, events.ActionInstall, history.Counts{Installed: 1}},
		"upgraded":                         {one, two, events.ActionUpgrade, history.Counts{Upgraded: 1}},
		"downgraded":                       {two, one, events.ActionDowngrade, history.Counts{Downgraded: 1}},
		"removed":                          {one, config, events.ActionRemove, history.Counts{Removed: 1}},
		"removed without configuration":    {one, absent, events.ActionRemove, history.Counts{Removed: 1}},
		"purged":                           {one, absent, events.ActionPurge, history.Counts{Purged: 1}},
		"configuration purged":             {config, absent, events.ActionPurge, history.Counts{Purged: 1}},
		"marked automatic":                 {one, auto, events.ActionMarkAuto, history.Counts{Marked: 1}},
		"held":                             {one, held, events.ActionHold, history.Counts{Marked: 1}},
		"half-configured":                  {absent, half, events.ActionInstall, history.Counts{Other: 1}},
		"configured":                       {half, one, events.ActionConfigure, history.Counts{Other: 1}},
		"half-configured, then removed":    {half, absent, events.ActionRemove, history.Counts{Removed: 1}},
		"purge planned, only removed":      {one, config, events.ActionPurge, history.Counts{Removed: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			id := s.request(events.Intent{Verb: events.VerbInstall, Packages: refs("vim")})
			k := events.PackageKey{Name: "vim", Arch: "amd64"}
			plan := events.Plan{Changes: []events.PlannedChange{{PackageKey: k, Action: c.planned}}}
			s.add(id, &events.Planned{PlanID: plan.ID(), Plan: plan})
			s.add(id, &events.Approved{PlanID: plan.ID()})
			s.add(id, &events.Started{PlanID: plan.ID()})
			s.add(id, &events.Succeeded{Changes: []events.PackageChange{{PackageKey: k, Before: c.before, After: c.after}}})
			_, reader := build(t, t.TempDir(), s.records)
			d, err := reader.Show(t.Context(), "last")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, d.Counts); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	t.Run("a plan that did not run counts its changes", func(t *testing.T) {
		s := newStory()
		id := s.request(events.Intent{Verb: events.VerbUpgrade})
		var plan events.Plan
		for i, action := range []events.Action{
			events.ActionInstall, events.ActionUpgrade, events.ActionDowngrade, events.ActionReinstall, events.ActionRemove, events.ActionPurge,
			events.ActionHold, events.ActionUnhold, events.ActionMarkAuto, events.ActionMarkManual, events.ActionConfigure,
		} {
			plan.Changes = append(plan.Changes, events.PlannedChange{PackageKey: events.PackageKey{Name: events.PackageName("pkg" + string(rune('a'+i)))}, Action: action})
		}
		s.add(id, &events.Planned{PlanID: plan.ID(), Plan: plan})
		_, reader := build(t, t.TempDir(), s.records)
		d, err := reader.Show(t.Context(), "last")
		want := history.Counts{Installed: 1, Upgraded: 1, Downgraded: 1, Reinstalled: 1, Removed: 1, Purged: 1, Marked: 4, Other: 1}
		if diff := cmp.Diff(want, d.Counts); err != nil || diff != "" {
			t.Errorf("%v (-want +got)\n%s", err, diff)
		}
	})
}
