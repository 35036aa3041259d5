package apt

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cortex/events"
)

func targets(words ...string) []events.Target {
	var out []events.Target
	for _, w := range words {
		name, remove := strings.CutSuffix(w, "!")
		ref, err := events.ParsePackageRef(name)
		if err != nil {
			panic(err)
		}
		out = append(out, events.Target{PackageRef: ref, Remove: remove})
	}
	return out
}

func TestStepCommands(t *testing.T) {
	all := strings.Join(aptOptions(), " ")
	for name, tc := range map[string]struct {
		step events.Step
		want string
	}{
		"install":           {events.Step{Op: events.OpInstall, Targets: targets("cowsay", "toy:i386=1:2.0", "sl!")}, "apt-get " + all + " install -- cowsay toy:i386=1:2.0 sl-"},
		"removed versioned": {events.Step{Op: events.OpInstall, Targets: targets("sl=5!")}, "apt-get " + all + " install -- sl-"},
		"flags": {
			events.Step{Op: events.OpInstall, Targets: targets("g++"), Reinstall: true, NoRecommends: true, AllowHeld: true, AllowDowngrade: true},
			"apt-get " + all + " --reinstall --no-install-recommends --allow-change-held-packages --allow-downgrades install -- g++",
		},
		"remove":      {events.Step{Op: events.OpRemove, Targets: targets("cowsay")}, "apt-get " + all + " remove -- cowsay"},
		"purge":       {events.Step{Op: events.OpPurge, Targets: targets("cowsay")}, "apt-get " + all + " purge -- cowsay"},
		"upgrade all": {events.Step{Op: events.OpUpgrade}, "apt-get " + all + " upgrade --with-new-pkgs --"},
		"upgrade one": {events.Step{Op: events.OpUpgrade, Targets: targets("cowsay")}, "apt-get " + all + " install --only-upgrade -- cowsay"},
		"forget":      {events.Step{Op: events.OpPurgeLeftovers, Targets: targets("cowsay")}, "dpkg --purge -- cowsay"},
		"hold":        {events.Step{Op: events.OpHold, Targets: targets("cowsay")}, "apt-mark hold -- cowsay"},
		"unhold":      {events.Step{Op: events.OpUnhold, Targets: targets("cowsay")}, "apt-mark unhold -- cowsay"},
		"auto":        {events.Step{Op: events.OpMarkAuto, Targets: targets("cowsay")}, "apt-mark auto -- cowsay"},
		"manual":      {events.Step{Op: events.OpMarkManual, Targets: targets("cowsay")}, "apt-mark manual -- cowsay"},
	} {
		if got := strings.Join((&Machine{}).StepArgv(tc.step), " "); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tc.want)
		}
	}
	for _, dangerous := range []string{"--force-yes", "--allow-unauthenticated", "--allow-remove-essential"} {
		if strings.Contains(all, dangerous) {
			t.Errorf("steps get %s", dangerous)
		}
	}
}

func TestStepIsCheckedBeforeRun(t *testing.T) {
	for name, s := range map[string]events.Step{
		"an option":     {Op: events.OpInstall, Targets: []events.Target{{PackageRef: events.PackageRef{Name: "-oDPkg::Pre-Invoke::=id"}}}},
		"a path":        {Op: events.OpInstall, Targets: []events.Target{{PackageRef: events.PackageRef{Name: "./evil.deb"}}}},
		"an unknown op": {Op: "format", Targets: targets("cowsay")},
		"nothing named": {Op: events.OpRemove},
	} {
		if err := checkStep(s); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if err := checkStep(events.Step{Op: events.OpUpgrade}); err != nil {
		t.Errorf("an upgrade of everything: %v", err)
	}
}

func TestDropNativeArch(t *testing.T) {
	now := events.Inventory{{Name: "both", Arch: "amd64"}: {}, {Name: "both", Arch: "i386"}: {}, {Name: "one", Arch: "amd64"}: {}}
	steps := []events.Step{{Op: events.OpPurgeLeftovers, Targets: targets("both:amd64", "one:amd64", "gone:amd64", "one:i386", "bare")}}
	var got []string
	for _, target := range dropNativeArch(steps, now, "amd64")[0].Targets {
		got = append(got, target.String())
	}
	if diff := cmp.Diff([]string{"both:amd64", "one", "gone", "one:i386", "bare"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if steps[0].Targets[1].Arch != "amd64" {
		t.Error("the caller's steps were changed")
	}
}

func TestParseStates(t *testing.T) {
	out := "cowsay\tall\t3.03\tinstall\tok\tinstalled\n" +
		"toy\tamd64\t1:2.0~rc1-1\tdeinstall\tok\tconfig-files\n" +
		"held\ti386\t1\thold\treinstreq\thalf-installed\n" +
		"forgotten\t\t\tunknown\tok\tnot-installed\n" +
		"purged\tamd64\t\tpurge\tok\tnot-installed\n" +
		"wanted\tamd64\t\tinstall\tok\tnot-installed\n"
	got, err := parseStates([]byte(out), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	want := events.Inventory{
		{Name: "cowsay", Arch: "amd64"}: {Version: "3.03", Want: "install", Flag: "ok", Status: "installed"},
		{Name: "toy", Arch: "amd64"}:    {Version: "1:2.0~rc1-1", Want: "deinstall", Flag: "ok", Status: "config-files"},
		{Name: "held", Arch: "i386"}:    {Version: "1", Want: "hold", Flag: "reinstreq", Status: "half-installed"},
		{Name: "wanted", Arch: "amd64"}: {Want: "install", Flag: "ok", Status: "not-installed"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := parseStates([]byte("cowsay all\n"), "amd64"); !errors.Is(err, events.ErrApt) {
		t.Errorf("a line of another form: %v", err)
	}
}

func TestParseAutoMarks(t *testing.T) {
	data := "Package: a\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: b\nArchitecture: i386\nAuto-Installed: 0\n\nPackage: c\nArchitecture: i386\nAuto-Installed: 1"
	want := map[events.PackageKey]bool{{Name: "a", Arch: "amd64"}: true, {Name: "c", Arch: "i386"}: true}
	if diff := cmp.Diff(want, parseAutoMarks([]byte(data), "amd64")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseStatus(t *testing.T) {
	for line, want := range map[string]events.Progress{
		"dlstatus:1:20.5:Retrieving file 1 of 2 (5s remaining)\n":    {Stage: events.StageDownload, Percent: 20.5, Message: "Retrieving file 1 of 2 (5s remaining)"},
		"pmstatus:cowsay:40.0000:Unpacking cowsay (all)\n":           {Stage: events.StageApply, Package: "cowsay", Percent: 40, Message: "Unpacking cowsay (all)"},
		"pmstatus:libc6:amd64:60:Configuring: libc6\n":               {Stage: events.StageApply, Package: "libc6:amd64", Percent: 60, Message: "Configuring: libc6"},
		"pmstatus:dpkg-exec:0.0000:Running dpkg\n":                   {Stage: events.StageApply, Percent: 0, Message: "Running dpkg"},
		"pmerror:toy:50:installed toy package post-installation …\n": {Stage: events.StageApply, Package: "toy", Percent: 50, Message: "installed toy package post-installation …"},
	} {
		got, ok := parseStatus(line)
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", line, ok, diff)
		}
	}
	for _, line := range []string{"", "pmstatus", "pmstatus:a:b:c", "media-change:x:y:z", "pmstatus:a:NaN:x", "pmstatus:a:101:x", "other:a:1:x"} {
		if p, ok := parseStatus(line); ok {
			t.Errorf("%q was read as %+v", line, p)
		}
	}
}

func TestFailureReason(t *testing.T) {
	for name, tc := range map[string]struct{ output, want string }{
		"dpkg":    {"Setting up toy\ndpkg: error processing package toy (--configure):\n installed toy package post-installation script subprocess returned error exit status 1\nE: Sub-process /usr/bin/dpkg returned an error code (1)\n", "error processing package toy (--configure): installed toy package post-installation script subprocess returned error exit status 1"},
		"apt":     {"Reading…\nE: Unable to locate package x\n", "Unable to locate package x"},
		"neither": {"something\nbroke\n", "broke (exit 1)"},
		"nothing": {"", "exit 1"},
	} {
		if got := failureReason(tc.output, errors.New("exit 1")); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestParseURIs(t *testing.T) {
	text := "After this operation, 2635 kB disk space will be freed.\n'http://x/a%2bb_1%3a2.0_amd64.deb' a_1%3a2.0_amd64.deb 21372 MD5Sum:00\n'http://x/InRelease' list 5 \n"
	if diff := cmp.Diff([]uri{{"a", "1:2.0", "amd64", 21372}}, parseURIs(text), cmp.AllowUnexported(uri{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestInventoryReadsNewMarks(t *testing.T) {
	text := "toy-lib is already the newest version (2.0).\ntoy-lib set to manually installed.\nx:i386 set to manually installed.\nthis was set to manually installed.\n"
	want := []events.PackageKey{{Name: "toy-lib", Arch: "amd64"}, {Name: "x", Arch: "i386"}}
	if diff := cmp.Diff(want, parseSetManual(text, "amd64")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseSizes(t *testing.T) {
	out := "Package: cowsay\nVersion: 3.03\nInstalled-Size: 93\nArchitecture: all\nDescription: x\n Installed-Size: 7\n\nPackage: sl\nVersion: 1\nArchitecture: i386\nInstalled-Size: -4\n\nPackage: none\nVersion: 1\nArchitecture: all\n"
	want := map[versionKey]int64{
		{events.PackageKey{Name: "cowsay", Arch: "amd64"}, "3.03"}: 93 * 1024,
		{events.PackageKey{Name: "sl", Arch: "i386"}, "1"}:         0,
	}
	if diff := cmp.Diff(want, parseSizes(out, "amd64"), cmp.AllowUnexported(versionKey{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseInstalledInfosEssential(t *testing.T) {
	out := "apt\tamd64\t4\t\t\t\na\tamd64\t1\tyes\t\t\nb\tall\t1\t\tyes\t\nc\ti386\t\tno\tno\tyes\nd\tamd64\t1\tno\t\t\n"
	want := map[events.PackageKey]installedInfo{
		{Name: "apt", Arch: "amd64"}: {4096, true}, {Name: "a", Arch: "amd64"}: {1024, true}, {Name: "b", Arch: "amd64"}: {1024, true},
		{Name: "c", Arch: "i386"}: {0, true}, {Name: "d", Arch: "amd64"}: {1024, false},
	}
	if diff := cmp.Diff(want, parseInstalledInfos(out, "amd64"), cmp.AllowUnexported(installedInfo{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseShowpkg(t *testing.T) {
	out := "Package: cowsay\nVersions: \n3.03 (/var/lib/apt/lists/x_Packages)(/var/lib/dpkg/status)\n Description Language: \n                 File: /x\n\n2.0 (/var/lib/apt/lists/x_Packages) (/var/lib/dpkg/status)\n Description Language: \n\nReverse Depends: \n  fun,cowsay\nDependencies: \n3.03 - perl (0 (null)) \nProvides: \n3.03 - \nReverse Provides: \n" +
		"Package: awk\nVersions: \n\nReverse Depends: \nDependencies: \nProvides: \nReverse Provides: \nmawk 1.3 (= )\n"
	got := parseShowpkg(out, "amd64")
	want := cacheEntries{
		{Name: "cowsay", Arch: "amd64"}: {offered: []events.Version{"3.03", "2.0"}, installed: []events.Version{"3.03", "2.0"}},
		{Name: "awk", Arch: "amd64"}:    {provided: true},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(cacheEntry{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The order of random versions, with every special character, is that of dpkg.
func TestCompareVersionsAgreesWithDpkg(t *testing.T) {
	dpkg, err := exec.LookPath("dpkg")
	if err != nil {
		t.Fatal("this test needs dpkg, which is not installed")
	}
	part := rapid.StringMatching(`[0-9][0-9a-zA-Z.+~]{0,6}`)
	version := rapid.Custom(func(rt *rapid.T) string {
		v := part.Draw(rt, "upstream")
		if rapid.Bool().Draw(rt, "epoch") {
			v = rapid.SampledFrom([]string{"0", "1", "01", "10"}).Draw(rt, "e") + ":" + v
		}
		if rapid.Bool().Draw(rt, "revision") {
			v += "-" + rapid.StringMatching(`[0-9a-z.+~]{1,4}`).Draw(rt, "r")
		}
		return v
	})
	rapid.Check(t, func(rt *rapid.T) {
		a, b := version.Draw(rt, "a"), version.Draw(rt, "b")
		got := CompareVersions(events.Version(a), events.Version(b))
		op := map[int]string{-1: "lt", 0: "eq", 1: "gt"}[got]
		if err := exec.Command(dpkg, "--compare-versions", a, op, b).Run(); err != nil {
			rt.Fatalf("dpkg disagrees with %s %s %s", a, op, b)
		}
		if CompareVersions(events.Version(b), events.Version(a)) != -got {
			rt.Fatalf("%s and %s are not opposites", a, b)
		}
	})
}

func FuzzSanitizeOutput(f *testing.F) {
	for _, s := range []string{"plain\n", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07x", "a\rb", "\u202eevil", "\xff\xfe", "\x1b", "\x1b["} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := SanitizeOutput(s)
		if !utf8.ValidString(got) {
			t.Fatalf("%q is not UTF-8", got)
		}
		for _, r := range got {
			if unicode.IsControl(r) && r != '\n' && r != '\t' || r >= 0x202a && r <= 0x202e {
				t.Fatalf("%q has %U", got, r)
			}
		}
		if SanitizeOutput(got) != got {
			t.Fatalf("%q becomes %q", got, SanitizeOutput(got))
		}
	})
}
