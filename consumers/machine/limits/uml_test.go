//go:build uml

package limits_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// initCgroups is the first process of a machine that can read the files of the host and has
// cgroup v2.
const initCgroups = `#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/run HOME=/run
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t tmpfs tmpfs /run && mount -t cgroup2 none /sys/fs/cgroup
cd /run && %s -test.v -test.run '%s'
echo "status $?"
poweroff -f
`

// unit runs the tests after the boot of systemd, and powers the machine off.
const unit = `[Unit]
Description=tests
After=multi-user.target
[Service]
Type=oneshot
Environment=CORTEX_THROWAWAY=1
ExecStart=/bin/sh -c '/limits.test -test.v -test.run "%s"; echo "status $?"; sh /command; systemctl poweroff --force --force'
StandardOutput=file:/console
StandardError=file:/console
`

// command runs the commands on the machine with systemd.
const command = `export HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin
cortex limits create small --memory 64M --cpu 0.5 --pids 20
cortex limits run small -- sh -c 'cat /proc/self/cgroup; exit 5'; echo "ran $?"
cortex limits run small -- /limits.test hog 256; echo "hog $?"
systemd-run --quiet --unit=long sleep 1000
cortex limits attach long --profile small
echo "attached $(systemctl show --property=MemoryMax long.service)"
cortex limits watch --once
cortex limits revert long.service
echo "reverted $(systemctl show --property=MemoryMax long.service)"
cortex limits list --all
cortex daemon stop
`

// tests matches the tests of effects.
const tests = "Test(AProgram|Forks|Processors|AGPU|AnAttached|AUnit)"

// TestUnderUserModeLinux runs the tests of effects on two virtual machines: one with only
// cgroup v2, and one with systemd.
func TestUnderUserModeLinux(t *testing.T) {
	linux, err := exec.LookPath("linux.uml")
	if err != nil {
		t.Fatalf("%v: apt-get install user-mode-linux mmdebstrap", err)
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "limits.test")
	build := exec.Command("go", "test", "-c", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Run("cgroup-v2", func(t *testing.T) {
		script := filepath.Join(dir, "init")
		if err := os.WriteFile(script, fmt.Appendf(nil, initCgroups, binary, tests), 0o755); err != nil {
			t.Fatal(err)
		}
		passed(t, "cgroup-v2", boot(t, linux, "rootflags=/", "ro", "init="+script))
	})
	t.Run("systemd", func(t *testing.T) {
		root := filepath.Join(dir, "root")
		if out, err := exec.Command("mmdebstrap", "--variant=minbase", "--include=systemd,systemd-sysv,dbus", `--aptopt=Acquire::Check-Valid-Until "false"`, "bookworm", root).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if out, err := exec.Command("cp", binary, root+"/limits.test").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		build := exec.Command("go", "build", "-o", root+"/usr/bin/cortex", "cortex/cmd/cortex")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := os.WriteFile(filepath.Join(root, "command"), []byte(command), 0o644); err != nil {
			t.Fatal(err)
		}
		place := filepath.Join(root, "etc/systemd/system")
		wants := filepath.Join(place, "default.target.wants")
		if err := os.MkdirAll(wants, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(place, "tests.service"), fmt.Appendf(nil, unit, tests), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../tests.service", filepath.Join(wants, "tests.service")); err != nil {
			t.Fatal(err)
		}
		console := boot(t, linux, "rootflags="+root, "rw", "init=/lib/systemd/systemd")
		out, err := os.ReadFile(filepath.Join(root, "console"))
		if err != nil {
			t.Fatalf("%v; console: %s", err, console)
		}
		passed(t, "systemd", string(out))
		_, said, _ := strings.Cut(string(out), "status 0")
		t.Logf("output of the commands: %s", said)
		for _, want := range []string{
			"ran 5\n", "hog 137\n", "systemd enforces memory, cpu, pids", "/system.slice/cortex-small-", "attached MemoryMax=67108864\n", "reverted MemoryMax=infinity\n",
		} {
			if !strings.Contains(said, want) {
				t.Errorf("%q is missing in the output: %s", want, said)
			}
		}
	})
}

// boot runs a machine until it powers off, and returns its output.
func boot(t *testing.T, linux string, args ...string) string {
	t.Helper()
	began := time.Now()
	cmd := exec.CommandContext(t.Context(), "timeout", append([]string{"-k", "5", "280", linux, "mem=640M", "rootfstype=hostfs", "con=null", "con0=null,fd:1", "quiet"}, args...)...)
	out, err := cmd.CombinedOutput()
	t.Logf("the machine ran %s, %v", time.Since(began).Round(time.Second/10), err)
	return string(out)
}

// passed checks that tests ran with that back end and that none failed.
func passed(t *testing.T, backend, out string) {
	t.Helper()
	ran := regexp.MustCompile(`--- PASS: [A-Za-z]+/`+backend).FindAllString(out, -1)
	t.Logf("%d tests of effect passed on %s", len(ran), backend)
	if !strings.Contains(out, "status 0") || strings.Contains(out, "--- FAIL") || len(ran) < 5 {
		t.Errorf("%s", out)
		return
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, "it got") {
			t.Logf("%s", strings.TrimSpace(line))
		}
	}
}
