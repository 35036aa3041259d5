// Package hardware is the read model of hardware snapshots: every snapshot with its facts,
// and the number of changes since the previous one.
//
// It promises to return exactly what the log holds. A volatile fact, such as free memory,
// describes the time of its snapshot, not the present.
//
// [Definition] defines the tables and [Reader] queries them in an open database. The JSON
// form of the results is a public contract of version [FormatVersion]: fields are added,
// never renamed or removed.
package hardware
