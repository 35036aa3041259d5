// Package testbed is an isolated root in which real apt and dpkg run, for tests.
//
// [Main] runs a package's tests in mount, process and IPC namespaces of their
// own, so that no mount and no process outlives them. [New] gives each test a
// fresh Debian root in some ten milliseconds: an overlay over a minimal Debian
// that is built once into the user's cache directory (CORTEX_TESTBED_CACHE), with
// one package source, the toy repository (see toys.go), whose packages are made
// to be difficult. [NewWithSuite] gives one of another Debian, with what else it needs.
//
// It promises that the host is not changed, and that tests which cannot have a
// root say so: they are skipped with one line, or fail where
// CORTEX_TESTBED=require is set.
package testbed
