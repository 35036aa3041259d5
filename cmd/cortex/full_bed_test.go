package main_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cortex/events"
)

// state is the state directory.
const state = "/var/lib/cortex"

// tmpfs mounts a small disk over a directory of the machine, with a copy of the directory's
// content. The end of the test unmounts it.
func (m *machine) tmpfs(dir, size string) {
	m.t.Helper()
	path := filepath.Join(m.Root(), dir)
	m.sh("mkdir -p " + dir + " /run/kept && cp -a " + dir + "/. /run/kept/")
	if err := unix.Mount("faults", path, "tmpfs", 0, "mode=755,size="+size); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
	m.sh("cp -a /run/kept/. " + dir + "/ && rm -r /run/kept")
}

// remount changes the flags of a small disk, such as unix.MS_RDONLY.
func (m *machine) remount(dir string, flags uintptr) {
	m.t.Helper()
	if err := unix.Mount("faults", filepath.Join(m.Root(), dir), "", unix.MS_REMOUNT|flags, ""); err != nil {
		m.t.Fatal(err)
	}
}

// fill leaves no byte free on the disk of a directory.
func (m *machine) fill(dir string) {
	m.t.Helper()
	m.Try("/bin/sh", "-c", "dd if=/dev/zero of="+dir+"/filler bs=64k 2>/dev/null; dd if=/dev/zero of="+dir+"/filler bs=512 oflag=append conv=notrunc count=256 2>/dev/null")
}

// makeRoom removes the file that fill wrote.
func (m *machine) makeRoom(dir string) {
	m.t.Helper()
	m.Remove(m.t, dir+"/filler")
}

// plan makes a plan and returns its id.
func (m *machine) plan(args ...string) string {
	m.t.Helper()
	var v struct {
		Plan struct {
			ID string `json:"plan_id"`
		} `json:"plan"`
	}
	for line := range strings.Lines(m.must(0, append(args, "--dry-run", "--json")...).out) {
		if strings.Contains(line, `"type":"plan"`) {
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				m.t.Fatal(err)
			}
		}
	}
	return v.Plan.ID
}

func TestReadOnlyStateDirectoryIsReported(t *testing.T) {
	m := setup(t)
	m.tmpfs(state, "128m")
	m.must(0, "install", "sl", "--yes")
	m.must(0, "daemon", "stop")
	before := m.FullState(t)
	m.remount(state, unix.MS_RDONLY)
	began := time.Now()
	r := m.must(1, "install", "cowsay", "--yes")
	if !strings.Contains(r.err, "read-only file system") || !strings.Contains(r.err, "hint: remount the file system read-write") {
		t.Errorf("the error is:\n%s", r.err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the error came after %s, want it without a wait", took)
	}
	if out := m.must(0, "history").out; !strings.Contains(out, "install sl") {
		t.Errorf("the history cannot be read:\n%s", out)
	}
	m.must(0, "audit", "verify")
	m.expectState(before)
	m.remount(state, 0)
	m.must(0, "install", "cowsay", "--yes")
	m.expectIntact()
}

// With a full disk of the state directory, requests fail and nothing changes. With free
// space, everything continues.
func TestFullDiskRefusesRequests(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(*machine)
		message string
	}{
		"before anything":  {func(*machine) {}, "are free on the disk"},
		"before a start":   {func(m *machine) { m.must(0, "install", "sl", "--yes"); m.must(0, "daemon", "stop") }, "full"},
		"before a request": {func(m *machine) { m.must(0, "install", "sl", "--yes") }, "are free on the disk"},
	} {
		t.Run(name, func(t *testing.T) {
			m := setup(t)
			m.tmpfs(state, "96m")
			tc.prepare(m)
			before := m.FullState(t)
			m.fill(state)
			began := time.Now()
			r := m.must(1, "install", "cowsay", "--yes")
			if !strings.Contains(r.err, tc.message) || !strings.Contains(r.err, "hint: make room") {
				t.Errorf("the error is:\n%s", r.err)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("the error came after %s, want it without a wait", took)
			}
			if r := m.cortex("history"); m.Exists(state+"/manifest.json") && r.code != 0 && !strings.Contains(r.err, "no history yet") {
				t.Errorf("cortex history exits with code %d:\n%s", r.code, r.err)
			}
			m.expectState(before)
			m.makeRoom(state)
			m.must(0, "install", "cowsay", "--yes")
			m.expectIntact()
			m.must(0, "undo", "--yes")
			m.expectState(before)
		})
	}
}

func TestFullDiskRefusesApproval(t *testing.T) {
	m := setup(t)
	m.tmpfs(state, "96m")
	before := m.FullState(t)
	plan := m.plan("install", "cowsay")
	m.fill(state)
	if r := m.must(1, "apply", plan); !strings.Contains(r.err, "hint: make room") {
		t.Errorf("the error is:\n%s", r.err)
	}
	m.expectState(before)
	m.makeRoom(state)
	m.must(0, "apply", plan)
	m.expectIntact()
	m.must(0, "undo", "--yes")
	m.expectState(before)
}

func TestFullDiskWhileAptRunsDelaysRecord(t *testing.T) {
	for name, killed := range map[string]bool{"the daemon waits": false, "the daemon dies meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			m := setup(t)
			m.tmpfs(state, "96m")
			m.must(0, "install", "sl", "--yes")
			before := m.FullState(t)
			cmd, lines := m.startFollowed("install", "toy-slow", "--yes")
			m.until("the slow package", func() bool { return m.Exists("/run/toy-slow.waiting") })
			m.fill(state)
			m.WriteFile(t, "/run/toy-slow.go", "")
			for !strings.Contains(lines(), "waiting for free disk space to record") {
			}
			if killed {
				m.killDaemon()
			}
			m.makeRoom(state)
			_ = cmd.Wait()
			d := m.waitForEnd("2")
			if d.State != events.StateInterrupted && d.State != events.StateSucceeded || len(d.PackageChanges) != 1 {
				t.Errorf("the state is %s, the changes are %v", d.State, d.PackageChanges)
			}
			m.expectIntact()
			m.must(0, "undo", "--yes")
			m.expectState(before)
			m.expectIntact()
		})
	}
}

// apt's cache is on another disk than the log.
func TestFullAptCacheChangesNothing(t *testing.T) {
	m := setup(t)
	const archives = "/var/cache/apt/archives"
	m.tmpfs(archives, "64k")
	m.sh("mkdir -p " + archives + "/partial")
	m.must(0, "install", "sl", "--yes")
	m.Run(t, "/usr/bin/apt-get", "clean")
	before := m.FullState(t)
	m.fill(archives)
	r := m.must(100, "install", "toy-many", "--yes")
	if !strings.Contains(r.err, "space") {
		t.Errorf("the error is:\n%s", r.err)
	}
	m.expectState(before)
	m.makeRoom(archives)
	m.expectIntact()
	m.must(0, "install", "cowsay", "--yes")
	m.expectIntact()
}
