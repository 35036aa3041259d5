package hardware_test

import (
	"testing"

	"cortex/producers/hardware"
)

// BenchmarkSnapshot looks at this machine. What ghw takes for the like is measured
// beside it by 'make hardware-bench'.
func BenchmarkSnapshot(b *testing.B) {
	c := hardware.New(hardware.LocalConfig("/", nil))
	for b.Loop() {
		if _, err := c.Collect(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
