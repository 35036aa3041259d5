package manifest_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"cortex/events"
	"cortex/producers/manifest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// root creates the files of a machine and returns their directory.
func root(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for p, text := range files {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(p)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, p), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func state(v events.Version, auto bool, want events.Want) events.State {
	return events.State{Version: v, Want: want, Flag: events.FlagOK, Status: events.StatusInstalled, Auto: auto}
}

func key(name, arch string) events.PackageKey {
	return events.PackageKey{Name: events.PackageName(name), Arch: events.Architecture(arch)}
}

func inventory() events.Inventory {
	return events.Inventory{
		key("g++", "amd64"):    state("4:12.2.0-3", false, events.WantInstall),
		key("libc6", "amd64"):  state("2.36-9", true, events.WantInstall),
		key("libc6", "i386"):   state("2.36-9", false, events.WantInstall),
		key("held", "amd64"):   state("1.0~rc1", true, events.WantHold),
		key("gone", "amd64"):   {Version: "1", Want: events.WantDeinstall, Flag: events.FlagOK, Status: events.StatusConfigFiles},
		key("broken", "amd64"): {Version: "1", Want: events.WantInstall, Flag: events.FlagOK, Status: events.StatusHalfConfigured},
	}
}

func TestCaptureTakesManualPackagesHoldsAndFiles(t *testing.T) {
	dir := root(t, map[string]string{
		"etc/os-release":                             "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=x\n",
		"etc/apt/sources.list":                       "deb [signed-by=/usr/share/keyrings/theirs.gpg,/usr/share/keyrings/mine.gpg arch=amd64] http://x y z\n",
		"etc/apt/sources.list.d/a.sources":           "Types: deb\nSigned-By: /etc/apt/keyrings/a.asc\n",
		"etc/apt/sources.list.d/a.sources.bak":       "no",
		"etc/apt/sources.list.d/secret.list":         "deb http://ada:hunter2@x y z\n",
		"etc/apt/preferences.d/pin":                  "Package: *\n",
		"etc/apt/keyrings/a.asc":                     "key",
		"etc/apt/trusted.gpg.d/debian.asc":           "owned",
		"usr/share/keyrings/mine.gpg":                "\x00\xff",
		"usr/share/keyrings/theirs.gpg":              "owned",
		"usr/share/keyrings/unused.gpg":              "unused",
		"var/lib/dpkg/info/keyring.list":             "/.\n/usr/share/keyrings/theirs.gpg\n/etc/apt/trusted.gpg.d/debian.asc\n",
		"etc/apt/auth.conf.d/x.conf":                 "machine x login ada password hunter2\n",
		"etc/apt/preferences.d/pin.save":             "no",
		"etc/apt/sources.list.d/.hidden.list":        "no",
		"etc/apt/trusted.gpg.d/debian.gpg~":          "no",
		"etc/apt/apt.conf.d/99x":                     "no",
		"usr/share/keyrings/debian-archive.gpg":      "no",
		"etc/apt/keyrings/README":                    "no",
		"var/lib/dpkg/info/unrelated.list":           "/etc/apt/keyrings/a.ascx\n",
		"var/lib/dpkg/info/debian-archive.conffiles": "x",
	})
	m, notes, err := manifest.Capture(dir, inventory(), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "secret.list") {
		t.Errorf("notes %q", notes)
	}
	var paths []string
	for _, f := range m.Files {
		paths = append(paths, f.Path)
	}
	want := []string{"/etc/apt/keyrings/a.asc", "/etc/apt/preferences.d/pin", "/etc/apt/sources.list", "/etc/apt/sources.list.d/a.sources", "/usr/share/keyrings/mine.gpg"}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Error(diff)
	}
	wantPackages := []events.PackageRef{{Name: "g++", Version: "4:12.2.0-3"}, {Name: "libc6", Arch: "i386", Version: "2.36-9"}}
	if diff := cmp.Diff(wantPackages, m.Packages); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]events.PackageRef{{Name: "held"}}, m.Holds); diff != "" {
		t.Error(diff)
	}
	if m.Machine != (manifest.SystemInfo{Distribution: "debian", Release: "12", Architecture: "amd64"}) {
		t.Errorf("%+v", m.Machine)
	}
	text, err := m.EncodeTOML()
	if err != nil || strings.Contains(string(text), "hunter2") {
		t.Fatalf("%v\n%s", err, text)
	}
	again, err := manifest.Parse("m", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if d := manifest.Compare(again, m); len(d) > 0 {
		t.Errorf("the parsed manifest differs: %+v", d)
	}
}

func TestCompareFindsEveryMismatch(t *testing.T) {
	have, _, err := manifest.Capture(root(t, map[string]string{"etc/apt/sources.list": "a", "etc/apt/preferences": "p"}), inventory(), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	want, err := manifest.Parse("m", []byte(`version = 1
hold = ["g++"]
[packages]
libc6 = "2.36-9"
"g++" = "4:11-1"
nano = "*"
[[file]]
path = "/etc/apt/sources.list"
text = "b"
[[file]]
path = "/etc/apt/sources.list.d/x.list"
text = "x"
`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]manifest.Mismatch{
		{ItemKind: "package", Name: "g++", Reason: manifest.Changed, Want: "4:11-1", Have: "4:12.2.0-3"},
		{ItemKind: "package", Name: "libc6", Reason: manifest.Automatic, Want: "2.36-9", Have: "2.36-9"},
		{ItemKind: "package", Name: "libc6:i386", Reason: manifest.Extra, Have: "2.36-9"},
		{ItemKind: "package", Name: "nano", Reason: manifest.Missing},
		{ItemKind: "hold", Name: "g++", Reason: manifest.Missing},
		{ItemKind: "hold", Name: "held", Reason: manifest.Extra},
		{ItemKind: "file", Name: "/etc/apt/preferences", Reason: manifest.Extra},
		{ItemKind: "file", Name: "/etc/apt/sources.list", Reason: manifest.Changed},
		{ItemKind: "file", Name: "/etc/apt/sources.list.d/x.list", Reason: manifest.Missing},
	}, manifest.Compare(want, have)); diff != "" {
		t.Error(diff)
	}
}

func TestParseRefusesInvalidManifests(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"nothing":          {"", "m: unsupported manifest version 0"},
		"later version":    {"version = 2\n", "m: unsupported manifest version 2"},
		"syntax":           {"version = 1\n[packages\n", "m:2:"},
		"unknown name":     {"version = 1\nfiles = 1\n", `m:2:1: unknown key "files"`},
		"wrong type":       {"version = 1\n[packages]\nx1 = 1\n", "m:3:"},
		"option as name":   {"version = 1\n[packages]\n\"-oDPkg::Pre-Invoke::=id\" = \"*\"\n", "looks like an option"},
		"path as name":     {"version = 1\n[packages]\n\"./evil.deb\" = \"*\"\n", "looks like a path"},
		"removal as name":  {"version = 1\n[packages]\n\"bash-\" = \"*\"\n", "trailing"},
		"version in name":  {"version = 1\n[packages]\n\"bash=1\" = \"*\"\n", "the key has a version"},
		"no version":       {"version = 1\n[packages]\nbash = \"\"\n", "not a version"},
		"shell in version": {"version = 1\n[packages]\nbash = \"1;id\"\n", "a version has"},
		"bad hold":         {"version = 1\nhold = [\"*\"]\n", "m: hold: "},
		"other file":       {"version = 1\n[[file]]\npath = \"/etc/shadow\"\n", "not a source list, key or preferences file of apt"},
		"path that climbs": {"version = 1\n[[file]]\npath = \"/etc/apt/keyrings/../../shadow\"\n", "not a source list, key or preferences file of apt"},
		"file twice":       {"version = 1\n[[file]]\npath = \"/etc/apt/preferences\"\n[[file]]\npath = \"/etc/apt/preferences\"\n", "occurs twice"},
		"bad base64":       {"version = 1\n[[file]]\npath = \"/etc/apt/preferences\"\nbase64 = \"%\"\n", "either"},
		"two contents":     {"version = 1\n[[file]]\npath = \"/etc/apt/preferences\"\nbase64 = \"AQI=\"\ntext = \"x\"\n", "either"},
		"too large":        {strings.Repeat("#", manifest.MaxBytes+1), "is larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := manifest.Parse("m", []byte(c.text))
			if !errors.Is(err, events.ErrUsage) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestImportRequestWithoutVersionsKeepsTheManifest(t *testing.T) {
	m := manifest.Document{Packages: []events.PackageRef{{Name: "sl", Version: "5.02"}}}
	if w := m.ImportRequest(true); w.Packages[0].Version != "" || m.Packages[0].Version != "5.02" {
		t.Errorf("%v, %v", w, m)
	}
}

// TestParseReturnsTheEncodedManifest checks the round trip of any manifest.
func TestParseReturnsTheEncodedManifest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		refs := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) events.PackageRef {
			return events.PackageRef{
				Name:    events.PackageName(rapid.StringMatching(`[a-z0-9][a-z0-9+.-]{0,8}[a-z0-9+.]`).Draw(t, "name")),
				Arch:    events.Architecture(rapid.SampledFrom([]string{"", "i386", "arm64"}).Draw(t, "arch")),
				Version: events.Version(rapid.StringMatching(`([0-9]{1,3}:)?[0-9a-zA-Z][0-9a-zA-Z.+~-]{0,10}|`).Draw(t, "version")),
			}
		}), 0, 8, func(r events.PackageRef) string { r.Version = ""; return r.String() }).Draw(t, "packages")
		m := manifest.Document{Packages: refs, Machine: manifest.SystemInfo{Release: rapid.StringMatching(`[ -~é]{0,5}`).Draw(t, "release")}}
		for _, r := range refs[:len(refs)/2] {
			m.Holds = append(m.Holds, events.PackageRef{Name: r.Name, Arch: r.Arch})
		}
		for i, b := range rapid.SliceOfN(rapid.SliceOfN(rapid.SampledFrom([]byte("a\n\r\t\"'\\ \x00\xff\x7f\xc3\xa9=")), 0, 20), 0, 3).Draw(t, "files") {
			m.Files = append(m.Files, manifest.AptFile{Path: "/etc/apt/keyrings/" + string(rune('a'+i)) + ".gpg", Content: b})
		}
		text, err := m.EncodeTOML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := manifest.Parse("m", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		byName := cmpopts.SortSlices(func(a, b events.PackageRef) bool { return a.String() < b.String() })
		if diff := cmp.Diff(m, again, byName, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(manifest.Document{})); diff != "" {
			t.Errorf("%s\n%s", diff, text)
		}
	})
}

// FuzzParse checks that each text is a usage error or a manifest that can be imported.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "version = 1\n", "version = 1\nhold=[\"sl\"]\n[packages]\nsl = \"*\"\n\"a:i386\"='1:2~3-4'\n[[file]]\npath='/etc/apt/preferences'\ntext='''\nx'''\n", "[machine]\nrelease=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := manifest.Parse("m", []byte(s))
		if err != nil {
			if events.KindOf(firstOf(err)) != events.ErrUsage {
				t.Errorf("%v", err)
			}
			return
		}
		w := m.ImportRequest(false)
		if err := (events.Intent{Verb: events.VerbImport, Manifest: &w}).Validate(); err != nil {
			t.Errorf("%q: %v", s, err)
		}
		if _, err := m.EncodeTOML(); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	})
}

func firstOf(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()[0]
	}
	return err
}
