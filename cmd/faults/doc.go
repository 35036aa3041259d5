// Package faults holds tests of what breaks below us: files that are torn or of
// another program's version, clocks that jump, and what is on disk when the power
// goes. They use the real log and the real read models. It has no code of its own.
//
// 'make crash' runs the long form; the short one runs with every other test.
// docs/faults.md has the table of all faults that are tried.
package faults
