//go:build ghw

package hardware_test

import (
	"testing"

	"github.com/jaypipes/ghw"
)

// BenchmarkGHW asks ghw for each thing that it tells of a machine; what this one has
// not, such as USB, fails at once and is not counted as a failure.
func BenchmarkGHW(b *testing.B) {
	quiet := ghw.WithDisableWarnings()
	told := 0
	note := func(err error) {
		if err == nil {
			told++
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
	b.ReportMetric(float64(told)/float64(b.N), "parts-told")
}
