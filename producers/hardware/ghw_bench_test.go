//go:build ghw

package hardware_test

import (
	"testing"

	"github.com/jaypipes/ghw"
)

// BenchmarkGHW calls each function of ghw. A function fails at once when the machine has no such
// part, for example no USB; that is not an error of the benchmark.
func BenchmarkGHW(b *testing.B) {
	quiet := ghw.WithDisableWarnings()
	read := 0
	note := func(err error) {
		if err == nil {
			read++
		}
	}
	for b.Loop() {
		_, err := ghw.Memory(quiet)
		note(err)
		_, err = ghw.Block(quiet)
		note(err)
		_, err = ghw.CPU(quiet)
		note(err)
		_, err = ghw.Topology(quiet)
		note(err)
		_, err = ghw.Network(quiet)
		note(err)
		_, err = ghw.GPU(quiet)
		note(err)
		_, err = ghw.Accelerator(quiet)
		note(err)
		_, err = ghw.Chassis(quiet)
		note(err)
		_, err = ghw.BIOS(quiet)
		note(err)
		_, err = ghw.Baseboard(quiet)
		note(err)
		_, err = ghw.Product(quiet)
		note(err)
		_, err = ghw.PCI(quiet)
		note(err)
		_, err = ghw.USB(quiet)
		note(err)
		_, err = ghw.TPM(quiet)
		note(err)
	}
	b.ReportMetric(float64(read)/float64(b.N), "parts-read")
}
