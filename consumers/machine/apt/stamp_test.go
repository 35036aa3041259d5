package apt

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// tree creates files in a new root, and returns a time long after their change.
func tree(t *testing.T, files map[string]string) *Machine {
	t.Helper()
	m := New(Config{Root: t.TempDir()})
	for name, text := range files {
		put(t, m, name, text)
	}
	return m
}

func put(t *testing.T, m *Machine, name, text string) {
	t.Helper()
	path := m.hostPath(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestStampChangesWithFiles(t *testing.T) {
	m := tree(t, map[string]string{"/d/a": "1", "/d/b/c": "1", "/f": "1"})
	later := func() time.Time { return time.Now().Add(time.Hour) }
	look := func() fileStamp { return m.stampFiles(later(), "/d", "/f", "/none") }
	before := look()
	if before == "" || look() != before {
		t.Fatalf("nothing changed: %q, then %q", before, look())
	}
	for _, change := range []struct {
		name string
		do   func() error
	}{
		{"the same size and the old time of change", func() error {
			info, err := os.Stat(m.hostPath("/f"))
			if err != nil {
				return err
			}
			time.Sleep(timestampGranularity)
			put(t, m, "/f", "2")
			return os.Chtimes(m.hostPath("/f"), info.ModTime(), info.ModTime())
		}},
		{"a file below", func() error { put(t, m, "/d/b/d", ""); return nil }},
		{"a file renamed over another", func() error {
			put(t, m, "/d/new", "1")
			return os.Rename(m.hostPath("/d/new"), m.hostPath("/d/a"))
		}},
		{"what was not there", func() error { put(t, m, "/none", ""); return nil }},
		{"a file removed", func() error { return os.Remove(m.hostPath("/d/b/c")) }},
		{"rights", func() error { time.Sleep(timestampGranularity); return os.Chmod(m.hostPath("/f"), 0o600) }},
	} {
		if err := change.do(); err != nil {
			t.Fatal(err)
		}
		after := look()
		if after == before {
			t.Errorf("%s did not change the stamp", change.name)
		}
		before = after
	}
}

func TestStampOfRecentChangeIsUnknown(t *testing.T) {
	m := tree(t, map[string]string{"/f": "1"})
	if s := m.stampFiles(time.Now(), "/f"); s != "" {
		t.Errorf("it is trusted: %s", s)
	}
	if s := m.stampFiles(time.Now().Add(-time.Hour), "/f"); s != "" {
		t.Errorf("a file of the future is trusted: %s", s)
	}
	if m.stampFiles(time.Now().Add(time.Second), "/f") == "" {
		t.Error("an old one is not")
	}
}

func TestMemoReadsChangedFilesAgain(t *testing.T) {
	m := tree(t, map[string]string{"/var/lib/dpkg/status": "1"})
	var c memo[int]
	reads := 0
	get := func() int {
		t.Helper()
		v, err := c.get(m, func() (int, error) { reads++; return reads, nil })
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	get()
	if get() != 2 {
		t.Error("a file that changed just now was not read again")
	}
	time.Sleep(2 * timestampGranularity)
	if a, b := get(), get(); a != b || reads != 3 {
		t.Errorf("unchanged: %d, %d after %d reads", a, b, reads)
	}
	put(t, m, "/var/lib/dpkg/updates/0001", "x") // dpkg's journal
	if get() != 4 {
		t.Error("dpkg's journal did not change the stamp")
	}
	time.Sleep(2 * timestampGranularity)
	if v, _ := c.get(m, func() (int, error) { put(t, m, "/var/lib/dpkg/status", "2"); return 50, nil }); v != 50 {
		t.Errorf("read %d", v)
	}
	time.Sleep(2 * timestampGranularity)
	if get() != 5 {
		t.Error("a value that changed while it was read was cached")
	}
}

func TestFingerprintUnknownWithRedirectedPaths(t *testing.T) {
	files := map[string]string{"/etc/apt/apt.conf.d/50x": "APT::Install-Recommends \"0\";\nDir::Cache::pkgcache \"\";\n", "/var/lib/dpkg/status": "", "/var/lib/apt/lists/x_Packages": ""}
	m := tree(t, files)
	time.Sleep(2 * timestampGranularity)
	first := m.InputFingerprint()
	if first == "" || first != m.InputFingerprint() {
		t.Fatalf("%q", first)
	}
	for _, text := range []string{`Dir::State::lists "/x";`, `dir::etc "/x";`, `Dir "/x";`, `RootDir "/x";`, "Dir {\n State \"/x\";\n};", `Dir { Etc { sourcelist "x"; }; };`} {
		put(t, m, "/etc/apt/apt.conf.d/50x", text)
		time.Sleep(2 * timestampGranularity)
		if m.InputFingerprint() != "" {
			t.Errorf("%s was not found", text)
		}
	}
	put(t, m, "/etc/apt/apt.conf.d/50x", files["/etc/apt/apt.conf.d/50x"])
	put(t, m, "/etc/apt/preferences.d/pin", "")
	time.Sleep(2 * timestampGranularity)
	if s := m.InputFingerprint(); s == "" || s == first {
		t.Errorf("a preference did not change the fingerprint: %q", s)
	}
}
