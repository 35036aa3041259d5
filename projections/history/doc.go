// Package history is the read model behind "cortex history" and "cortex show":
// every transaction with its plan, its steps and what it changed.
//
// [Projection] writes it; [Reader] answers from nothing but an open database, so
// that a command needs no daemon to look. The JSON form of what a Reader returns
// is a public contract of version [FormatVersion]: fields are added, never
// renamed or removed; times are RFC 3339 in UTC, durations milliseconds, sizes
// bytes.
//
// It promises that numbers are those of the log and never change, that "newest"
// is by the order of the log and never by a clock, and that a transaction is
// called exact-undone only when the log says so.
package history
