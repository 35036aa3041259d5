// Package apt runs apt and dpkg. No other package of the program does.
//
// It promises:
//
//   - Only typed steps and the queries in argv.go become commands. Every name is
//     validated again and follows "--". A child has a fixed environment, no standard
//     input and no shell.
//   - Reading changes nothing on the machine: [Machine.Inventory], [Machine.Simulate]
//     and [Machine.CheckNames] take no lock and work without root.
//   - A plan comes from apt itself, through its JSON hooks: packages, actions, versions,
//     origins, automatic marks.
//   - A child that changes packages is never killed. It runs in a session of its own
//     and writes to files, so it keeps running if this process ends. [Machine.Run] only
//     stops watching when its context ends, and [Machine.Recover] waits for a child
//     that still runs.
//
// A package of architecture "all" has the native architecture in its key, as in apt:
// a package may change between the two from one version to the next.
package apt
