package confstate_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"cortex/consumers/machine/blobstore"
	"cortex/consumers/machine/confstate"
	"cortex/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dpkg is a fake with a registry of conffiles only.
type dpkg struct {
	registry   map[events.PackageKey]string
	configured []events.SettingChange
}

func (d *dpkg) ConffileRegistry(context.Context) (map[events.PackageKey]string, error) {
	return d.registry, nil
}

func (d *dpkg) ApplySetting(_ context.Context, c events.SettingChange) error {
	d.configured = append(d.configured, c)
	return nil
}

type fataler interface {
	Helper()
	Fatal(...any)
}

func setup(t fataler, root string) (*confstate.Snapshots, *dpkg) {
	t.Helper()
	v, err := blobstore.Open(filepath.Join(root, "vault"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	d := &dpkg{}
	return confstate.New(root, v, d), d
}

func capture(t fataler, k *confstate.Snapshots) confstate.Snapshot {
	t.Helper()
	snapshot, err := k.Capture(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

// change makes one random change below /etc.
func change(rt *rapid.T, etc string) {
	name := filepath.Join(etc, rapid.SampledFrom([]string{"a", "b", "d/a", "d/b", "d/e/a", "d", "d/e"}).Draw(rt, "path"))
	_ = os.MkdirAll(filepath.Dir(name), 0o755)
	switch rapid.SampledFrom([]string{"write", "write", "remove", "mode", "link", "dir", "owner"}).Draw(rt, "what") {
	case "write":
		_ = os.WriteFile(name, []byte(rapid.StringN(0, 20, 100).Draw(rt, "content")), 0o644)
	case "remove":
		_ = os.RemoveAll(name)
	case "mode":
		_ = os.Chmod(name, os.FileMode(rapid.SampledFrom([]int{0o600, 0o644, 0o640, 0o755, 0o700}).Draw(rt, "mode")))
	case "owner":
		_ = os.Lchown(name, rapid.IntRange(0, 3).Draw(rt, "uid"), rapid.IntRange(0, 3).Draw(rt, "gid"))
	case "link":
		if os.Remove(name) == nil {
			_ = os.Symlink(rapid.SampledFrom([]string{"a", "../x", "/nowhere"}).Draw(rt, "target"), name)
		}
	case "dir":
		_ = os.Mkdir(name, 0o755)
	}
}

func TestRestoreRandomChanges(t *testing.T) {
	base := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		root := filepath.Join(base, fmt.Sprint(n))
		k, _ := setup(rt, root)
		etc := filepath.Join(root, "etc")
		for range rapid.IntRange(0, 12).Draw(rt, "before") {
			change(rt, etc)
		}
		before := capture(rt, k)
		for range rapid.IntRange(0, 12).Draw(rt, "after") {
			change(rt, etc)
		}
		now := capture(rt, k)
		files, _ := confstate.Diff(now, before)
		for range 2 { // twice is once
			if err := k.Restore(context.Background(), events.Step{Op: events.OpRestore, Files: files}, confstate.Snapshot{}); err != nil {
				rt.Fatal(err)
			}
			if diff := cmp.Diff(before, capture(rt, k)); diff != "" {
				rt.Fatalf("not as before:\n%s", diff)
			}
		}
		// The same with RevertSideEffects, from a stored snapshot.
		for range rapid.IntRange(0, 6).Draw(rt, "besides") {
			change(rt, etc)
		}
		d, err := k.Save(before)
		if err != nil {
			rt.Fatal(err)
		}
		loaded, err := k.Load(d)
		if err != nil {
			rt.Fatal(err)
		}
		if err := k.Restore(context.Background(), events.Step{Op: events.OpRestore, RevertSideEffects: true}, loaded); err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(before, capture(rt, k)); diff != "" {
			rt.Fatalf("not reverted (-before +after):\n%s", diff)
		}
	})
}

func TestRestoreFollowsNoSymlink(t *testing.T) {
	root := t.TempDir()
	k, _ := setup(t, root)
	outside := filepath.Join(root, "outside")
	if err := os.MkdirAll(filepath.Join(root, "etc/d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/d/a"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := capture(t, k)
	if err := os.Rename(filepath.Join(root, "etc/d"), outside); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../outside", filepath.Join(root, "etc/d")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "a"), []byte("theirs"), 0o644); err != nil {
		t.Fatal(err)
	}
	change := events.FileChange{Path: "/etc/d/a", After: before.Files["/etc/d/a"]}
	err := k.Restore(t.Context(), events.Step{Op: events.OpRestore, Files: []events.FileChange{change}}, confstate.Snapshot{})
	if err == nil || !strings.Contains(err.Error(), "/etc/d") {
		t.Errorf("got %v", err)
	}
	if b, _ := os.ReadFile(filepath.Join(outside, "a")); string(b) != "theirs" {
		t.Errorf("Restore wrote %q through the link", b)
	}
}

func TestRestoreNeverWritesAccounts(t *testing.T) {
	root := t.TempDir()
	k, _ := setup(t, root)
	passwd := filepath.Join(root, "etc/passwd")
	if err := os.WriteFile(passwd, []byte("root:x:0:0::/:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := capture(t, k)
	if err := os.WriteFile(passwd, []byte("root:x:0:0::/:/bin/sh\ntoy:x:100:100::/:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := k.Restore(t.Context(), events.Step{Op: events.OpRestore, RevertSideEffects: true}, before); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(passwd); !strings.Contains(string(b), "toy") {
		t.Error("an account was removed")
	}
}

const answers = "Name: toy/answer\nTemplate: toy/answer\nValue: 42\nOwners: toy\nFlags: seen\n\nName: toy/other\nTemplate: toy/other\nOwners: toy\nVariables:\n a = b\n c = d\n\n"

func TestDebconfAnswersAndPasswords(t *testing.T) {
	root := t.TempDir()
	k, _ := setup(t, root)
	dir := filepath.Join(root, "var/cache/debconf")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	put := func(name, content string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	put("config.dat", answers, 0o644)
	put("passwords.dat", "Name: toy/password\nTemplate: toy/password\nValue: hunter2\nOwners: toy\n\n", 0o600)
	before := capture(t, k)
	for s, v := range before.Settings {
		if strings.Contains(v, "hunter2") {
			t.Errorf("%v contains the password: %q", s, v)
		}
	}
	put("config.dat", "", 0o644)
	put("passwords.dat", "", 0o600)
	_, settings := confstate.Diff(capture(t, k), before)
	if len(settings) != 3 {
		t.Fatalf("%+v", settings)
	}
	if err := k.Restore(t.Context(), events.Step{Op: events.OpRestore, Settings: settings}, confstate.Snapshot{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, capture(t, k)); diff != "" {
		t.Error(diff)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "config.dat")); string(b) != answers {
		t.Errorf("config.dat is now\n%s", b)
	}
	if info, err := os.Stat(filepath.Join(dir, "passwords.dat")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestAlternativesDiversionsAndOverrides(t *testing.T) {
	root := t.TempDir()
	k, machine := setup(t, root)
	machine.registry = map[events.PackageKey]string{{Name: "toy", Arch: "amd64"}: "/opt/toy.conf 00ff\n"}
	for name, content := range map[string]string{
		"var/lib/dpkg/alternatives/editor": "manual\n/usr/bin/editor\n", "var/lib/dpkg/alternatives/pager": "auto\n/usr/bin/pager\n",
		"var/lib/dpkg/diversions": "/bin/a\n/bin/a.real\ntoy\n/bin/b\n/bin/b.x\n:\n", "var/lib/dpkg/statoverride": "root games 2755 /usr/games/x\n",
		"opt/toy.conf": "mine\n", "opt/toy.conf.dpkg-old": "old\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "etc/alternatives"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/usr/bin/vi", filepath.Join(root, "etc/alternatives/editor")); err != nil {
		t.Fatal(err)
	}
	snapshot := capture(t, k)
	want := map[confstate.SettingKey]string{
		{Kind: events.SettingAlternative, Name: "editor"}:    "manual /usr/bin/vi",
		{Kind: events.SettingAlternative, Name: "pager"}:     "auto",
		{Kind: events.SettingDiversion, Name: "/bin/a"}:      "/bin/a.real toy",
		{Kind: events.SettingDiversion, Name: "/bin/b"}:      "/bin/b.x :",
		{Kind: events.SettingOverride, Name: "/usr/games/x"}: "root games 2755",
		{Kind: events.SettingConffiles, Name: "toy:amd64"}:   "/opt/toy.conf 00ff\n",
	}
	if diff := cmp.Diff(want, snapshot.Settings); diff != "" {
		t.Error(diff)
	}
	if !snapshot.Files["/opt/toy.conf"].Exists() || !snapshot.Files["/opt/toy.conf.dpkg-old"].Exists() {
		t.Errorf("a conffile outside /etc was not captured: %v", snapshot.Files)
	}
	c := events.SettingChange{Kind: events.SettingAlternative, Name: "editor", After: "auto"}
	if err := k.Restore(t.Context(), events.Step{Op: events.OpRestore, Settings: []events.SettingChange{c}}, confstate.Snapshot{}); err != nil {
		t.Fatal(err)
	}
	c.Before = "manual /usr/bin/vi"
	if diff := cmp.Diff([]events.SettingChange{c}, machine.configured); diff != "" {
		t.Error(diff)
	}
}
