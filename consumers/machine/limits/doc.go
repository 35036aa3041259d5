// Package limits puts limits on groups of processes and tells what came of it.
//
// It promises that every limit of a profile has one [events.LimitEffect], which says
// either what enforces it or why it is advice only; that a program starts with all of
// its limits on it, for it puts them on itself before it becomes the program (see
// [ApplyAndExec]); that a group is never freer than the one this process is in; and that
// what was attached to gets back what it had.
//
// Four back ends do the work, the first that this machine has: systemd, cgroup v2,
// cgroup v1, and the limits that a process can have by itself. They act on the
// running kernel at once and keep nothing; what was done is on record by whoever
// calls. A back end is not safe for concurrent use.
package limits
