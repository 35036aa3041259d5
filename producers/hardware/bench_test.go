package hardware_test

import (
	"testing"

	"cortex/producers/hardware"
)

// BenchmarkSnapshot reads this machine. 'make hardware-bench' also measures ghw for comparison.
func BenchmarkSnapshot(b *testing.B) {
	c := hardware.New(hardware.LocalConfig("/", nil))
	for b.Loop() {
		if _, err := c.Collect(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
