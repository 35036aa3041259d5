//go:build !peers

package main_test

import "testing"

// elsewhere is measured with the tag peers only.
func elsewhere(*testing.B, int) []starter { return nil }
