// Package history is the read model of transactions, which "cortex history" and "cortex
// show" print: every transaction with its plan, its steps and its changes.
//
// It promises that transaction numbers are those of the log and never change, that
// "newest" means the order of the log and not of a clock, and that an undo is called exact
// only if the log says so.
//
// [Definition] defines the tables and [Reader] queries them in an open database, without a
// daemon. The JSON form of the results is a public contract of version [FormatVersion]:
// fields are added, never renamed or removed. Times are RFC 3339 in UTC, durations
// milliseconds, sizes bytes.
package history
