// Package packages is the read model of the machine's packages: the recorded state of each
// package, the fact that last changed it, and every change.
//
// It promises to match the fold events.Inventory: it contains what BaselineRecorded,
// DriftDetected and the outcomes of transactions record, and nothing else. dpkg's own
// state may differ until a DriftDetected records the difference.
//
// [Definition] defines the tables and [Reader] queries them in an open database. The JSON
// form of the results is a public contract of version [FormatVersion]: fields are added,
// never renamed or removed.
package packages
