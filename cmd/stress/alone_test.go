//go:build !peers

package stress_test

// Other systems are measured with the build tag peers only.
var (
	peers   []contender
	lookups []lookupBenchmark
)
