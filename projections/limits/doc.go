// Package limits is the read model of resource limits: the current limit profiles, and
// every group of processes that was limited, with the limits that were enforced and how
// the group ended.
//
// It promises to return what the log holds. If a program and the command that watches it
// die together, the log has no end of the group. Only the machine shows then that the
// group has ended.
//
// [Definition] defines the tables and [Reader] queries them in an open database. The JSON
// form of the results is a public contract of version [FormatVersion]: fields are added,
// never renamed or removed.
package limits
