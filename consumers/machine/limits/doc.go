// Package limits puts limits on groups of processes and says which of them the machine
// enforces.
//
// It promises:
//   - Every limit of a profile has one [events.LimitEffect], which names what enforces the
//     limit, or why it is only advice.
//   - A program starts with all of its limits: it waits in [WaitAndExec] until they are on
//     its process.
//   - A control group is made inside the group that the process is in, so earlier limits
//     still hold. Systemd makes scopes in its own place.
//   - A revert restores what an attached process or unit had before.
//   - Limits go only onto the process that the request names: [Machine.Apply] compares its
//     start time and its owner before and after.
//   - [Machine] writes a durable note before it changes anything, so that a crash leaves no
//     limits that are unknown.
//
// Four back ends do the work: systemd, cgroup v2, cgroup v1, and the limits of a single
// process. [Detect] returns the first that the machine has. A back end is not safe for
// concurrent use.
package limits
