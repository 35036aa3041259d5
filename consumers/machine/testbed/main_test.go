package testbed_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cortex/consumers/machine/testbed"
)

// errCheck is the error of a helper's check.
var errCheck = errors.New("a check made after the tests failed")

// again runs one test of this binary like go test, outside the namespaces of this
// process, and returns its output and exit status.
func again(t *testing.T, test string, prepare func(*exec.Cmd)) (string, int) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run", "^"+test+"$", "-test.v")
	cmd.Dir = "/"
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CORTEX_TESTBED") || strings.HasPrefix(v, "CORTEX_TESTBED_CACHE=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "CORTEX_TESTBED_HELPER=yes")
	prepare(cmd)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func nobody(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}

// helper reports whether a helper was requested by name.
func helper() bool { return os.Getenv("CORTEX_TESTBED_HELPER") != "" }

// The helpers are tests that [again] runs.
func TestHelperNew(t *testing.T) {
	if !helper() {
		return
	}
	bed := testbed.New(t)
	bed.Run(t, "/usr/bin/apt-get", "-y", "install", "cowsay")
	fmt.Println("the cow says", bed.Run(t, "/usr/games/cowsay"))
}

func TestHelperFails(t *testing.T) {
	if !helper() {
		return
	}
	t.Error("on purpose")
}

func TestHelperExits(t *testing.T) {
	if !helper() {
		return
	}
	os.Exit(17)
}

func TestHelperLeaves(t *testing.T) {
	if !helper() {
		return
	}
	dir := os.Getenv("CORTEX_TESTBED_DIR")
	if err := unix.Mount("left", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "987654")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

func TestBedSkipsWithoutNamespaces(t *testing.T) {
	out, code := again(t, "TestHelperNew", nobody)
	if code != 0 || !strings.Contains(out, "--- SKIP: TestHelperNew") || !strings.Contains(out, "TEST BED MISSING, real apt is not tested here: not root") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

func TestBedRequiredFailsWithoutNamespaces(t *testing.T) {
	out, code := again(t, "TestHelperNew", func(cmd *exec.Cmd) {
		nobody(cmd)
		cmd.Env = append(cmd.Env, "CORTEX_TESTBED=require")
	})
	if code != 1 || !strings.Contains(out, "TEST BED MISSING: not root") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

func TestShortSkipsBedUnlessRequired(t *testing.T) {
	short := func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, "-test.short") }
	if out, code := again(t, "TestHelperNew", short); code != 0 || !strings.Contains(out, "--- SKIP") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	out, code := again(t, "TestHelperNew", func(cmd *exec.Cmd) {
		short(cmd)
		cmd.Env = append(cmd.Env, "CORTEX_TESTBED=require")
	})
	if code != 0 || !strings.Contains(out, "the cow says moo") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

func TestMainPassesExitCode(t *testing.T) {
	for test, want := range map[string]int{"TestHelperFails": 1, "TestHelperExits": 17, "TestHelperNew": 0} {
		if out, code := again(t, test, func(*exec.Cmd) {}); code != want {
			t.Errorf("%s: exit %d, want %d:\n%s", test, code, want, out)
		}
	}
}

func TestMainRunsChecksAfterTests(t *testing.T) {
	out, code := again(t, "TestHelperNew", func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, "CORTEX_TESTBED_HELPER_CHECK=fail") })
	if code != 1 || !strings.Contains(out, errCheck.Error()) {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

func TestBedLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	if out, code := again(t, "TestHelperLeaves", func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, "CORTEX_TESTBED_DIR="+dir) }); code != 0 {
		t.Fatalf("exit %d:\n%s", code, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "file")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its mount is still there: %v", err)
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(processes) == 0 {
		t.Fatalf("no processes: %v", err)
	}
	for _, p := range processes {
		if line, _ := os.ReadFile(p); string(line) == "sleep\x00987654\x00" {
			t.Errorf("its process %s is still there", p)
		}
	}
}

// A bed also works without a tool that builds a minimal Debian, and with a cache on an
// overlay, as in many containers.
func TestBedOfOtherSuite(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, cache string){
		"no debootstrap": func(*testing.T, string) {},
		"cache on an overlay": func(t *testing.T, cache string) {
			mount := t.TempDir()
			if err := unix.Mount("t", mount, "tmpfs", 0, ""); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Unmount(mount, unix.MNT_DETACH) })
			for _, d := range []string{"lower", "upper", "work"} {
				if err := os.Mkdir(filepath.Join(mount, d), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			o := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", mount)
			if err := unix.Mount("t", cache, "overlay", 0, o); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Unmount(cache, unix.MNT_DETACH) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			testbed.New(t) // or skip
			cache := t.TempDir()
			prepare(t, cache)
			out, code := again(t, "TestHelperNew", func(cmd *exec.Cmd) {
				cmd.Env = append(cmd.Env, "PATH=/nonexistent", "CORTEX_TESTBED_CACHE="+cache, "CORTEX_TESTBED=require")
			})
			if code != 0 || !strings.Contains(out, "overlay of this machine's own root") || !strings.Contains(out, "the cow says moo") {
				t.Errorf("exit %d:\n%s", code, out)
			}
		})
	}
}
