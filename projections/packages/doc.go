// Package packages is the read model of the machine's packages as the log has
// them: the present state of each, since when and by what, and every change.
//
// It promises to be the fold that events.Inventory is: what Adopted, Drifted and
// the outcomes of transactions say, and nothing else. It tells what is recorded;
// what dpkg says may be ahead of it until drift is noticed.
//
// [Projection] writes it; [Reader] answers from nothing but an open database. The
// JSON form of what a Reader returns is a public contract of version
// [FormatVersion]: fields are added, never renamed or removed.
package packages
