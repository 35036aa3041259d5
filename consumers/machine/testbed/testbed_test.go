package testbed_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"cortex/consumers/machine/testbed"
)

func TestMain(m *testing.M) {
	testbed.Main(m, func() error { return goleak.Find() }, func() error {
		if os.Getenv("CORTEX_TESTBED_HELPER_CHECK") != "" {
			return errCheck
		}
		return nil
	})
}

func TestBedIsIsolatedDebian(t *testing.T) {
	host, err := os.ReadFile("/var/lib/dpkg/status")
	if err != nil {
		t.Fatal(err)
	}
	one, two := testbed.New(t), testbed.New(t)
	before := one.PackageStates(t)
	one.Run(t, "/usr/bin/apt-get", "-y", "install", "toy-app=1.0", "toy-lib=1.0", "cowsay")
	if out := one.Run(t, "/usr/games/cowsay"); out != "moo\n" {
		t.Errorf("cowsay printed %q", out)
	}
	if got := one.PackageStates(t)["toy-extra:amd64"]; got != "install ok installed 1.0 auto" {
		t.Errorf("a recommended package is %q", got)
	}
	one.Run(t, "/usr/bin/apt-get", "-y", "upgrade")
	if got := one.PackageStates(t)["toy-app:amd64"]; got != "install ok installed 2.0 manual" {
		t.Errorf("after the upgrade it is %q", got)
	}
	one.Run(t, "/usr/bin/apt-get", "-y", "--auto-remove", "purge", "toy-app", "cowsay", "toy-extra", "toy-lib")
	if diff := cmp.Diff(before, one.PackageStates(t)); diff != "" {
		t.Errorf("after purging everything (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(before, two.PackageStates(t)); diff != "" {
		t.Errorf("another bed has changed (-before +after):\n%s", diff)
	}
	after, err := os.ReadFile("/var/lib/dpkg/status")
	if err != nil || string(after) != string(host) {
		t.Error("the host has changed")
	}
}

func TestOffer(t *testing.T) {
	bed := testbed.New(t)
	bed.Offer(t, "toy-lib=2.0")
	if out, code := bed.Try("/usr/bin/apt-get", "-y", "install", "toy-lib=1.0"); code == 0 || !strings.Contains(out, "was not found") {
		t.Errorf("exit %d: %s", code, out)
	}
	bed.Run(t, "/usr/bin/apt-get", "-y", "install", "toy-lib")
}

func TestToyPackages(t *testing.T) {
	bed := testbed.New(t)
	for name, want := range map[string]string{
		"toy-fail-preinst": "", "toy-fail-postinst": "install ok half-configured 1.0 manual",
	} {
		if _, code := bed.Try("/usr/bin/apt-get", "-y", "install", name); code != 100 {
			t.Errorf("%s: exit %d", name, code)
		}
		if got := bed.PackageStates(t)[name+":amd64"]; want != "" && got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
}

func TestFailingToyScripts(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare, do []string
		state       string // afterwards
	}{
		"prerm":         {[]string{"install", "toy-fail-prerm"}, []string{"remove", "toy-fail-prerm"}, "install ok installed 1.0 manual"},
		"postrm":        {[]string{"install", "toy-fail-postrm"}, []string{"remove", "toy-fail-postrm"}, "deinstall ok half-installed 1.0 manual"},
		"postrm, purge": {[]string{"install", "toy-fail-purge"}, []string{"purge", "toy-fail-purge"}, "install ok config-files 1.0 manual"},
		"prerm, leave":  {[]string{"install", "toy-fail-leave=1.0"}, []string{"install", "toy-fail-leave=2.0"}, "install ok installed 1.0 manual"},
		"no way back":   {[]string{"install", "toy-no-downgrade=2.0"}, []string{"install", "--allow-downgrades", "toy-no-downgrade=1.0"}, "install ok installed 2.0 manual"},
		"only new ones": {[]string{"install", "toy-halfway=1.0"}, []string{"install", "toy-halfway=2.0"}, "install ok half-configured 2.0 manual"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bed := testbed.New(t)
			bed.Run(t, append([]string{"/usr/bin/apt-get", "-y"}, tc.prepare...)...)
			out, code := bed.Try(append([]string{"/usr/bin/apt-get", "-y"}, tc.do...)...)
			if code != 100 {
				t.Errorf("exit %d:\n%s", code, out)
			}
			key, _, _ := strings.Cut(tc.do[len(tc.do)-1], "=")
			if got := bed.PackageStates(t)[key+":amd64"]; got != tc.state {
				t.Errorf("left as %q, want %q", got, tc.state)
			}
		})
	}
}

func TestInventoryAfterInstallAndRemove(t *testing.T) {
	bed := testbed.New(t)
	apt := func(args ...string) { bed.Run(t, append([]string{"/usr/bin/apt-get", "-y"}, args...)...) }
	apt("install", "sl", "toy-trigger")
	apt("install", "toy-divert", "toy-altern", "toy-trigger-user", "toy-debconf", "toy-mover-a=1.0", "toy-app=1.0", "toy-migrate=1.0")
	for path, want := range map[string]string{
		"/usr/games/sl.real": "#!/bin/sh\necho choo\n", "/var/lib/toy-trigger.log": "fired\n",
		"/var/lib/toy-debconf/answer": "42\n", "/usr/share/toy-mover/x": "a\n",
		"/etc/toy-app/main.conf": "setting = one\n", "/etc/toy-app/generated": "made by toy-app\n", "/var/lib/toy-migrate": "fmt=1\n",
	} {
		if got := bed.ReadFile(t, path); got != want {
			t.Errorf("%s is %q", path, got)
		}
	}
	if out := bed.Run(t, "/usr/bin/update-alternatives", "--query", "toy-tool"); !strings.Contains(out, "Value: /usr/bin/toy-altern-1") {
		t.Errorf("the alternative is\n%s", out)
	}
	apt("install", "toy-mover-b", "toy-app", "toy-migrate")
	state := bed.PackageStates(t)
	if _, there := state["toy-mover-a:amd64"]; there && !strings.Contains(state["toy-mover-a:amd64"], " 2.0 ") || bed.ReadFile(t, "/usr/share/toy-mover/x") != "b\n" {
		t.Errorf("the file did not move: %v", state)
	}
	if got := bed.ReadFile(t, "/etc/toy-app/main.conf"); got != "setting = two\n" {
		t.Errorf("an unedited conffile is %q", got)
	}
	apt("install", "--allow-downgrades", "toy-migrate=1.0")
	if got := bed.ReadFile(t, "/var/lib/toy-migrate"); got != "fmt=2\n" {
		t.Errorf("the one-way migration went back: %q", got)
	}
	apt("purge", "toy-app", "toy-divert", "toy-debconf")
	if bed.Exists("/etc/toy-app/generated") || bed.Exists("/usr/games/sl.real") || bed.Exists("/var/lib/toy-debconf") {
		t.Error("files are left after the purge")
	}
}

func TestForeignArchitectures(t *testing.T) {
	bed := testbed.New(t)
	bed.Run(t, "/usr/bin/dpkg", "--add-architecture", "i386")
	bed.Run(t, "/usr/bin/apt-get", "update")
	bed.Run(t, "/usr/bin/apt-get", "-y", "install", "toy-multi", "toy-multi:i386")
	state := bed.PackageStates(t)
	for _, key := range []string{"toy-multi:amd64", "toy-multi:i386"} {
		if state[key] != "install ok installed 2.0 manual" {
			t.Errorf("%s is %q", key, state[key])
		}
	}
}

func TestOfferNewestDropsReplacedVersions(t *testing.T) {
	bed := testbed.New(t)
	bed.OfferNewest(t)
	if out, code := bed.Try("/usr/bin/apt-get", "-y", "install", "toy-epoch=9.0"); code == 0 || !strings.Contains(out, "was not found") {
		t.Errorf("exit %d: %s", code, out)
	}
	bed.Run(t, "/usr/bin/apt-get", "-y", "install", "toy-epoch=1:1.0", "toy-rc=2.0")
	bed.OfferAll(t)
	bed.Run(t, "/usr/bin/apt-get", "-y", "install", "--allow-downgrades", "toy-epoch=9.0", "toy-rc=2.0~rc1")
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		testbed.New(b)
	}
}
