// Package apt is the one place that runs apt and dpkg.
//
// It promises:
//
//   - Only typed steps run ([Argv]); every name is validated again, follows "--",
//     and children get a fixed environment, no standard input and no shell.
//   - Reading never changes the machine: [Machine.Inventory], [Machine.Simulate]
//     and [Machine.CheckNames] take no lock and work without root.
//   - A plan comes from apt itself, through its JSON hooks: the packages, what is
//     done to each, versions, origins, what is automatic.
//   - Nothing is killed. A child runs in a session of its own and writes to
//     files, so it goes on when we are gone; [Machine.Run] only stops watching
//     when its context ends, and [Machine.Recover] waits for what is still
//     running.
//
// Packages of architecture "all" are filed under the native architecture, as apt
// does: a package may change between the two from one version to the next and
// stays the same package.
package apt
