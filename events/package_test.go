package events_test

import (
	"errors"
	"strings"
	"testing"

	"cortex/events"
)

func TestParsePackageRefAccepts(t *testing.T) {
	for _, s := range []string{
		"cowsay", "g++", "libstdc++6", "0ad", "python3.11", "cowsay:amd64", "cowsay=3.03+dfsg2-8", "toy:i386=1:2.0~rc1-1",
		"xz=2024.01.01~git20240101+dfsg-0.1", "libc6:all", "a" + strings.Repeat("b", events.MaxPackageNameBytes-1),
	} {
		ref, err := events.ParsePackageRef(s)
		if err != nil {
			t.Errorf("%q: %v", s, err)
		} else if ref.String() != s {
			t.Errorf("%q came back as %q", s, ref)
		}
	}
}

func TestParsePackageRefRefuses(t *testing.T) {
	for _, s := range []string{
		"", "a", "-y", "--purge", "-oDPkg::Pre-Invoke::=id", "./evil.deb", "/tmp/evil.deb", "evil/stable", "cowsay-", "*", "cow*", "cow?ay",
		"[ab]c", "Cowsay", "cow say", "cow;id", "$(id)", "`id`", "cow\nsay", "cow\x00", "+cow", ".cow", "cowsay=", "cowsay=-1", "cowsay=1 2",
		"cowsay:", "cowsay:AMD64", "cowsay:-x", "cowsay=a:1", "cowsay=1;id", "cоwsay" /* Cyrillic о */, "cow\u202esay", "~nfoo", "?installed",
		"a" + strings.Repeat("b", events.MaxPackageNameBytes), "x=" + strings.Repeat("1", events.MaxVersionBytes+1),
	} {
		_, err := events.ParsePackageRef(s)
		if !errors.Is(err, events.ErrUsage) {
			t.Errorf("%q: %v, want a usage error", s, err)
		} else if events.HintOf(err) == "" {
			t.Errorf("%q: no hint", s)
		}
	}
}

func FuzzParsePackageRef(f *testing.F) {
	for _, s := range []string{"cowsay", "g++:amd64=1:2~3", "-o", "a/b", "x=1", "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := events.ParsePackageRef(s)
		if err != nil {
			return
		}
		if ref.String() != s {
			t.Fatalf("%q came back as %q", s, ref)
		}
		if strings.HasPrefix(s, "-") || strings.ContainsAny(s, " /\\*?[]$`;|&<>\"'\n\x00") || strings.HasSuffix(string(ref.Name), "-") {
			t.Fatalf("%q was accepted", s)
		}
	})
}

func TestIntentValidate(t *testing.T) {
	many := make([]events.PackageRef, events.MaxPackagesPerRequest+1)
	for i := range many {
		many[i] = events.PackageRef{Name: "cowsay"}
	}
	cow := []events.PackageRef{{Name: "cowsay"}}
	for name, in := range map[string]events.Intent{
		"no verb":               {Packages: cow},
		"unknown verb":          {Verb: "format", Packages: cow},
		"install of nothing":    {Verb: events.VerbInstall},
		"undo of nothing":       {Verb: events.VerbUndo},
		"undo of a package":     {Verb: events.VerbUndo, Target: txn, Packages: cow},
		"undo of no UUID":       {Verb: events.VerbUndo, Target: "7"},
		"install of a txn":      {Verb: events.VerbInstall, Packages: cow, Target: txn},
		"remove with a version": {Verb: events.VerbRemove, Packages: []events.PackageRef{{Name: "cowsay", Version: "1"}}},
		"too many":              {Verb: events.VerbInstall, Packages: many},
		"option as a name":      {Verb: events.VerbInstall, Packages: []events.PackageRef{{Name: "-y"}}},
		"words too long":        {Verb: events.VerbInstall, Packages: cow, CommandLine: strings.Repeat("x", events.MaxTextBytes+1)},
		"negative wait":         {Verb: events.VerbInstall, Packages: cow, Options: events.Options{LockWaitSec: -1}},
	} {
		if err := in.Validate(); !errors.Is(err, events.ErrUsage) {
			t.Errorf("%s: %v, want a usage error", name, err)
		}
	}
	for _, v := range events.Verbs {
		if err := sampleIntent(v).Validate(); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
	if err := (events.Intent{Verb: events.VerbInstall, Packages: many[:events.MaxPackagesPerRequest]}).Validate(); err != nil {
		t.Errorf("exactly the limit: %v", err)
	}
}

func TestErrorKindExitCodes(t *testing.T) {
	want := map[events.ErrorKind]int{
		events.ErrInternal: 1, events.ErrUsage: 2, events.ErrNotFound: 1, events.ErrCancelled: 3, events.ErrConfirmation: 4,
		events.ErrDenied: 5, events.ErrStale: 6, events.ErrPartial: 7, events.ErrLockBusy: 8, events.ErrApt: 100,
		events.ErrInterrupted: 130, events.ErrConflict: 1, events.ErrUnavailable: 1, events.ErrCorrupt: 1, events.ErrFull: 1,
	}
	for _, k := range events.ErrorKinds {
		if got, ok := want[k]; !ok || k.ExitCode() != got {
			t.Errorf("%s exits %d, want %d (declared: %v)", k, k.ExitCode(), got, ok)
		}
	}
	if len(want) != len(events.ErrorKinds) {
		t.Errorf("%d kinds are listed, %d expected", len(events.ErrorKinds), len(want))
	}
}

func TestTailCutsAtARune(t *testing.T) {
	for _, tc := range []struct {
		in   string
		max  int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "bcd"}, {"aéb", 2, "b"}, {"aéb", 3, "éb"}, {"é", 1, ""}} {
		if got := events.Tail(tc.in, tc.max); got != tc.want {
			t.Errorf("Tail(%q, %d) = %q, want %q", tc.in, tc.max, got, tc.want)
		}
	}
}
