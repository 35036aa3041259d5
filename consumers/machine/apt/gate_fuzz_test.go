package apt

import (
	"strings"
	"testing"

	"cortex/events"
)

func FuzzParseActions(f *testing.F) {
	f.Add("VERSION 3\nAPT::Architecture=amd64\n\ntoy - - none < 1.0 amd64 none /var/cache/toy.deb\ntoy 1.0 amd64 none > - - none **REMOVE**\n")
	f.Add("VERSION 3\n\n-oDPkg::x 1 a b < 2 a b /x\n")
	f.Fuzz(func(t *testing.T, s string) {
		about, err := parseActions(strings.Split(s, "\n"), "amd64")
		if err != nil {
			return
		}
		for _, a := range about {
			if a.Name.Validate() != nil || a.Remove && a.Deb != "" {
				t.Errorf("%+v", a)
			}
		}
	})
}

func FuzzParseRegistry(f *testing.F) {
	f.Add("toy\tamd64\n /etc/a b 00ff\n /etc/c 00ff obsolete\nother\tall\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, lines := range parseRegistry(s, "amd64") {
			if !strings.HasSuffix(lines, "\n") {
				t.Errorf("%q", lines)
			}
		}
	})
}

func FuzzSettingCommands(f *testing.F) {
	f.Add("alternative", "editor", "manual /usr/bin/vi", "auto")
	f.Add("diversion", "/bin/a", "/bin/b :", "")
	f.Add("statoverride", "/bin/a", "root root 4755", "x")
	f.Fuzz(func(t *testing.T, kind, name, after, before string) {
		commands, err := settingCommands(events.SettingChange{Kind: events.SettingKind(kind), Name: name, After: after, Before: before})
		if err != nil {
			return
		}
		for _, c := range commands {
			for _, a := range c.argv[1:] {
				switch {
				case !strings.HasPrefix(a, "-"):
				case a == "--set", a == "--auto", a == "--add", a == "--remove", a == "--local", a == "--package", a == "--divert", a == "--no-rename":
				default:
					t.Errorf("an unexpected option: %q", c.argv)
				}
			}
		}
	})
}

func FuzzParseDependencies(f *testing.F) {
	f.Add("a\tinstalled\tv\tb (>= 1) | c, d:any\te\nb\tinstalled\t\t, \t\n")
	f.Fuzz(func(t *testing.T, s string) {
		for from, needs := range parseDependencies(s) {
			for _, n := range needs {
				if n.From != from || n.To == from {
					t.Errorf("%+v", n)
				}
			}
		}
	})
}
