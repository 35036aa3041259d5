//go:build !peers

package main_test

import "testing"

// peerStarters returns programs of other projects, with the tag peers only.
func peerStarters(*testing.B, int) []starter { return nil }
