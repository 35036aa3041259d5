package cel_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cortex/consumers/policy"
	"cortex/consumers/policy/cel"
	"cortex/events"
)

func change(name string, action events.Action, from, to, origin string) events.PlannedChange {
	return events.PlannedChange{PackageKey: events.PackageKey{Name: events.PackageName(name), Arch: "amd64"}, Action: action, From: events.Version(from), To: events.Version(to), Origin: origin}
}

func plan(changes ...events.PlannedChange) policy.Input {
	return policy.Input{
		Plan: events.Plan{Changes: changes}, Intent: events.Intent{Verb: events.VerbRemove, CommandLine: "cortex remove x"},
		Actor: events.Actor{UID: 0, User: "root"}, Now: time.Date(2026, 11, 23, 12, 30, 0, 0, time.UTC),
	}
}

func with(t *testing.T, texts ...string) *cel.Rules {
	t.Helper()
	dir := t.TempDir()
	for i, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, string(rune('a'+i))+".yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return cel.New(dir, os.Getuid(), policy.Invariants{RunningKernel: "6.1.0-42-amd64"})
}

func TestInvariants(t *testing.T) {
	essential := change("bash", events.ActionRemove, "1", "", "")
	essential.Essential = true
	for name, c := range map[string]struct {
		change events.PlannedChange
		want   string
	}{
		"essential":              {essential, "essential-packages"},
		"apt":                    {change("apt", events.ActionPurge, "2.6", "", ""), "package-tools"},
		"cortex":                 {change("cortex", events.ActionRemove, "1", "", ""), "package-tools"},
		"apt is upgraded":        {change("apt", events.ActionUpgrade, "2.6", "2.7", "Debian:12"), ""},
		"the running kernel":     {change("linux-image-6.1.0-42-amd64", events.ActionRemove, "6.1", "", ""), "running-kernel"},
		"unsigned":               {change("linux-image-unsigned-6.1.0-42-amd64", events.ActionPurge, "6.1", "", ""), "running-kernel"},
		"another kernel":         {change("linux-image-6.1.0-41-amd64", events.ActionRemove, "6.1", "", ""), ""},
		"its configuration only": {change("linux-image-6.1.0-42-amd64", events.ActionPurge, "", "", ""), ""},
		"anything else":          {change("cowsay", events.ActionPurge, "3", "", ""), ""},
	} {
		t.Run(name, func(t *testing.T) {
			// A rule that allows everything overrides nothing.
			v, _ := with(t, "rules: [{name: all, deny: \"false\"}]").Evaluate(plan(c.change))
			if got := rule(v); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func rule(v policy.Decision) string {
	if v == nil {
		return ""
	}
	return v.Rule
}

func TestRuleVariables(t *testing.T) {
	three := plan(change("a", events.ActionRemove, "1", "", ""), change("b", events.ActionPurge, "1", "", ""), change("c", events.ActionInstall, "", "2", "Other:1"))
	three.Plan.DownloadBytes, three.Plan.DiskDelta = 5_000_000, -7
	for _, deny := range []string{
		`size(plan.removed) == 2`, `size(plan.purged) == 1`, `plan.installed == ["c"]`, `size(plan.upgraded) + size(plan.downgraded) + size(plan.reinstalled) == 0`,
		`plan.changes.exists(c, c.to != "" && !c.origin.startsWith("Debian:"))`, `plan.download > 1000000`, `plan.disk < 0`,
		`verb == "remove" && words.contains("remove x")`, `who.uid == 0 && who.user == "root"`, `hour == 12 && minute == 30 && weekday == 1`,
		`now > timestamp("2026-11-23T12:00:00Z")`, `plan.changes.all(c, c.arch == "amd64")`, `!plan.changes[0].automatic && !plan.changes[0].essential`,
		`plan.changes[0].from == "1" && plan.changes[0].action == "remove"`,
	} {
		r := with(t, "rules:\n  - name: it\n    deny: '"+strings.ReplaceAll(deny, "'", "''")+"'\n    message: no\n")
		if v, _ := r.Evaluate(three); rule(v) != "it" {
			_, _, err := r.List()
			t.Errorf("%s: %+v, %v", deny, v, err)
		}
		r = with(t, "rules:\n  - name: it\n    deny: '!("+strings.ReplaceAll(deny, "'", "''")+")'\n")
		if v, _ := r.Evaluate(three); v != nil {
			t.Errorf("not %s: %+v", deny, v)
		}
	}
}

func TestRuleFileErrorsDeny(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"no YAML":         {"rules: [", "a.yaml"},
		"unknown key":     {"rule: []", "rule"},
		"unknown in rule": {"rules:\n  - name: x\n    allow: 'true'\n", `a.yaml:2: unknown key "allow"`},
		"no CEL":          {"rules:\n  - name: x\n    deny: 'plan.'\n", "a.yaml:2: x: "},
		"unknown name":    {"rules:\n  - name: x\n    deny: 'packages == 1'\n", "undeclared reference"},
		"no yes or no":    {"rules:\n  - name: x\n    deny: '1 + 1'\n", "must return a bool"},
		"empty":           {"rules:\n  - name: x\n", "a.yaml:2"},
		"bad name":        {"rules:\n  - name: X Y\n    deny: 'true'\n", "invalid name"},
		"taken name":      {"rules:\n  - name: essential-packages\n    deny: 'true'\n", "already (built in)"},
		"twice":           {"rules:\n  - {name: x, deny: 'false'}\n  - {name: x, deny: 'false'}\n", "a.yaml:3: the name \"x\" is used already"},
	} {
		t.Run(name, func(t *testing.T) {
			r := with(t, c.text)
			_, _, err := r.List()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if v, _ := r.Evaluate(plan(change("cowsay", events.ActionInstall, "", "1", "Debian:12"))); rule(v) != "policy-files" {
				t.Errorf("the plan was allowed: %+v", v)
			}
		})
	}
}

func TestRuleThatFailsDenies(t *testing.T) {
	for name, deny := range map[string]string{
		"runtime error": `plan.nonsense == 1`,
		"no bool":       `plan.download`,
		"too costly":    `plan.changes.exists(a, plan.changes.exists(b, plan.changes.exists(c, plan.changes.exists(d, a.name + b.name == c.name + d.name + "x"))))`,
	} {
		t.Run(name, func(t *testing.T) {
			var many []events.PlannedChange
			for range 60 {
				many = append(many, change("a", events.ActionInstall, "", "1", ""))
			}
			r := with(t, "rules:\n  - {name: it, deny: '"+deny+"'}\n")
			v, _ := r.Evaluate(plan(many...))
			if got := rule(v); got != "it" && got != "policy-files" {
				t.Errorf("%+v", v)
			}
		})
	}
}

func TestRuleFileOfOtherUserDenies(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	if err := os.WriteFile(file, []byte("rules: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := plan(change("cowsay", events.ActionInstall, "", "1", ""))
	r := cel.New(dir, os.Getuid(), policy.Invariants{})
	if v, _ := r.Evaluate(good); v != nil {
		t.Fatalf("%+v", v)
	}
	if v, _ := cel.New(dir, os.Getuid()+1, policy.Invariants{}).Evaluate(good); rule(v) != "policy-files" {
		t.Errorf("a file of another user was used: %+v", v)
	}
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	if v, _ := r.Evaluate(good); rule(v) != "policy-files" {
		t.Errorf("a file that every user can write was used: %+v", v)
	}
}

func TestRulesAreReadAgainWhenFilesChange(t *testing.T) {
	dir := t.TempDir()
	r := cel.New(dir, os.Getuid(), policy.Invariants{})
	good := plan(change("cowsay", events.ActionInstall, "", "1", ""))
	v, none := r.Evaluate(good)
	if v != nil {
		t.Fatalf("%+v", v)
	}
	file := filepath.Join(dir, "x.yaml")
	for i, text := range []string{"rules: [{name: no, deny: 'true'}]", "rules: [{name: yes, deny: 'false'}]"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		v, version := r.Evaluate(good)
		if (v != nil) != (i == 0) || version == none {
			t.Errorf("%d: %+v, version %s", i, v, version)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, version := r.Evaluate(good); version != none {
		t.Errorf("the same rules have another version: %s, %s", version, none)
	}
}

func TestCases(t *testing.T) {
	r := with(t, "rules: [{name: few, deny: 'size(plan.removed) > 1'}]")
	got, err := cel.RunTests([]byte(`cases:
  - {name: one, verb: remove, changes: [{name: a, action: remove, from: "1"}], want: allow}
  - {name: two, verb: remove, changes: [{name: a, action: remove, from: "1"}, {name: b, action: purge, from: "1"}], want: few}
  - {name: wrong, verb: remove, want: few}
`), r)
	if err != nil || len(got) != 3 || !got[0].OK || !got[1].OK || got[2].OK || got[2].Got != "allow" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "cases: []", "cases: [{name: x}]", "cases: [{nam: x}]", "x"} {
		if _, err := cel.RunTests([]byte(bad), r); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// No file makes the evaluation fail, hang, or allow a plan that an invariant denies.
func FuzzRules(f *testing.F) {
	for _, s := range []string{"", "rules: [{name: a, deny: 'true'}]", "rules:\n- name: a\n  deny: size(plan.removed) > 0\n", "rules: &a [*a]", "\x00", "rules: [{name: a, deny: '[1].map(x, [x].map(y, y)) == [[1]]'}]"} {
		f.Add(s)
	}
	essential := change("bash", events.ActionRemove, "1", "", "")
	essential.Essential = true
	f.Fuzz(func(t *testing.T, text string) {
		r := with(t, text)
		if v, _ := r.Evaluate(plan(essential)); rule(v) != "essential-packages" {
			t.Errorf("%+v", v)
		}
		list, _, err := r.List()
		if v, _ := r.Evaluate(plan()); err != nil && rule(v) != "policy-files" || err == nil && v == nil && len(list) < 4 {
			t.Errorf("%+v, %v", v, err)
		}
	})
}
