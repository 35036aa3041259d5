//go:build !peers

package stress_test

// Others are measured with the tag peers only.
var (
	peers   []contender
	lookers []looker
)
