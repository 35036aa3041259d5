// Package testbed provides isolated Debian roots with the real apt and dpkg, for tests.
//
// [Main] runs the tests of a package in mount, process and IPC namespaces of their own,
// so that no mount and no process outlives them. [New] returns a fresh root for a test
// within about ten milliseconds: an overlay over a minimal Debian, which is built once
// into the user's cache directory (CORTEX_TESTBED_CACHE). Its only package source is the
// toy repository (see toys.go) of difficult packages. [NewWithSuite] returns a root of
// another Debian with additional packages.
//
// It promises that the host is not changed. A test that cannot have a root is skipped
// with one line, or fails if CORTEX_TESTBED=require is set.
package testbed
