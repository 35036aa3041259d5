// Package faults tests faults below Cortex: torn files, files of another version of the
// program, clock jumps, and the data on disk after a power failure. The tests use the real
// log and the real read models. The package has no other code.
//
// 'make crash' runs the long form; the short form runs with all other tests.
// docs/faults.md lists all tested faults.
package faults
