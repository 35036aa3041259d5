package main_test

import (
	"fmt"
	"slices"
	"testing"

	"cortex/consumers/machine/testbed"
)

// BenchmarkInstall installs one and ten toy packages with plain apt-get, in a root without
// cortex, and with cortex, whose daemon already runs. The same program removes them outside
// the measured time.
func BenchmarkInstall(b *testing.B) {
	path, err := binary()
	if err != nil {
		b.Fatal(err)
	}
	ten := []string{"cowsay", "sl", "toy-app", "toy-common", "toy-debconf", "toy-altern", "toy-epoch", "toy-multi", "toy-single", "toy-g++"}
	for _, packages := range [][]string{ten[:1], ten} {
		for _, with := range []struct {
			name string
			argv []string
		}{
			{"apt-get", []string{"/usr/bin/env", "DEBIAN_FRONTEND=noninteractive", "/usr/bin/apt-get", "-y", "-qq", "install"}},
			{"cortex", []string{"/usr/bin/cortex", "install", "-q", "-y"}},
		} {
			b.Run(fmt.Sprintf("packages=%d/%s", len(packages), with.name), func(b *testing.B) {
				bed := testbed.New(b)
				away := append([]string{"/usr/bin/apt-get", "-y", "-qq", "--auto-remove", "purge"}, packages...)
				if with.name == "cortex" {
					bed.Copy(b, path, "/usr/bin/cortex")
					b.Cleanup(func() { bed.Try("/usr/bin/cortex", "daemon", "stop") })
					bed.Run(b, "/usr/bin/cortex", "daemon", "start")
					away = []string{"/usr/bin/cortex", "undo", "-y", "-q"}
				}
				for b.Loop() {
					bed.Run(b, append(slices.Clone(with.argv), packages...)...)
					b.StopTimer()
					bed.Run(b, away...)
					b.StartTimer()
				}
			})
		}
	}
}
