// Package limits is the read model of limits: the current profiles, and every group of
// processes that was put under limits, with its effects and its end.
//
// It promises to return what the log holds. A group whose end is not recorded yet may be
// gone from the machine: only the machine knows that.
//
// [Definition] defines the tables and [Reader] queries them in an open database. The JSON
// form of the results is a public contract of version [FormatVersion]: fields are added,
// never renamed or removed.
package limits
