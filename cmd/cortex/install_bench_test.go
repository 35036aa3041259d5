package main_test

import (
	"fmt"
	"testing"

	"cortex/consumers/testbed"
)

// BenchmarkInstall installs one and ten toy packages with plain apt-get and through
// cortex, whose daemon runs already. Removing them again is not counted.
func BenchmarkInstall(b *testing.B) {
	path, err := binary()
	if err != nil {
		b.Fatal(err)
	}
	ten := []string{"cowsay", "sl", "toy-app", "toy-common", "toy-debconf", "toy-alt", "toy-many", "toy-migrate", "toy-trigger", "toy-g++"}
	for _, packages := range [][]string{ten[:1], ten} {
		for _, with := range []struct {
			name string
			argv []string
		}{
			{"apt-get", []string{"/usr/bin/env", "DEBIAN_FRONTEND=noninteractive", "/usr/bin/apt-get", "-y", "-qq", "install"}},
			{"cortex", []string{"/usr/bin/cortex", "-q", "-y", "install"}},
		} {
			b.Run(fmt.Sprintf("packages=%d/%s", len(packages), with.name), func(b *testing.B) {
				bed := testbed.New(b)
				bed.Copy(b, path, "/usr/bin/cortex")
				b.Cleanup(func() { bed.Try("/usr/bin/cortex", "daemon", "stop") })
				bed.Run(b, "/usr/bin/cortex", "daemon", "start")
				for b.Loop() {
					bed.Run(b, append(with.argv, packages...)...)
					b.StopTimer()
					bed.Run(b, append([]string{"/usr/bin/apt-get", "-y", "-qq", "purge"}, packages...)...)
					bed.Run(b, "/usr/bin/apt-get", "-y", "-qq", "autoremove", "--purge")
					b.StartTimer()
				}
			})
		}
	}
}
