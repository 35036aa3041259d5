package testbed_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/consumers/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

func TestABedIsARealMachineOfItsOwn(t *testing.T) {
	host, err := os.ReadFile("/var/lib/dpkg/status")
	if err != nil {
		t.Fatal(err)
	}
	one, two := testbed.New(t), testbed.New(t)
	before := one.State(t)
	one.Run(t, "/usr/bin/apt-get", "-y", "install", "toy-app=1.0", "toy-lib=1.0", "cowsay")
	if out := one.Run(t, "/usr/games/cowsay"); out != "moo\n" {
		t.Errorf("the cow says %q", out)
	}
	if got := one.State(t)["toy-extra:amd64"]; got != "install ok installed 1.0 auto" {
		t.Errorf("a recommended package is %q", got)
	}
	one.Run(t, "/usr/bin/apt-get", "-y", "upgrade")
	if got := one.State(t)["toy-app:amd64"]; got != "install ok installed 2.0 manual" {
		t.Errorf("after the upgrade it is %q", got)
	}
	one.Run(t, "/usr/bin/apt-get", "-y", "--auto-remove", "purge", "toy-app", "cowsay", "toy-extra", "toy-lib")
	if diff := cmp.Diff(before, one.State(t)); diff != "" {
		t.Errorf("after purging everything (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(before, two.State(t)); diff != "" {
		t.Errorf("another bed has changed (-before +after):\n%s", diff)
	}
	after, err := os.ReadFile("/var/lib/dpkg/status")
	if err != nil || string(after) != string(host) {
		t.Error("the host has changed")
	}
}

func TestTheRepositoryCanForget(t *testing.T) {
	bed := testbed.New(t)
	bed.Offer(t, "toy-lib=2.0")
	if out, code := bed.Try("/usr/bin/apt-get", "-y", "install", "toy-lib=1.0"); code == 0 || !strings.Contains(out, "was not found") {
		t.Errorf("exit %d: %s", code, out)
	}
	bed.Run(t, "/usr/bin/apt-get", "-y", "install", "toy-lib")
}

func TestDifficultPackagesAreDifficult(t *testing.T) {
	bed := testbed.New(t)
	for name, want := range map[string]string{"toy-fail-preinst": "", "toy-fail-postinst": "install ok half-configured 1.0 manual"} {
		if _, code := bed.Try("/usr/bin/apt-get", "-y", "install", name); code != 100 {
			t.Errorf("%s: exit %d", name, code)
		}
		if got := bed.State(t)[name+":amd64"]; want != "" && got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		testbed.New(b)
	}
}
