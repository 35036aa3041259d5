// Package hardware is the read model of hardware snapshots: every one with its
// facts, and how each differs from the one before.
//
// It promises to give back exactly what the log holds. A volatile fact, such as
// free memory, is how it was then; nobody should take it for how it is.
//
// [Projection] writes it; [Reader] answers from nothing but an open database. The
// JSON form of what a Reader returns is a public contract of version
// [FormatVersion]: fields are added, never renamed or removed.
package hardware
