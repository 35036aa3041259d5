//go:build !peers

package stress_test

// peers are measured with the tag of that name only.
var peers []contender
