// Package limits applies resource limits to groups of processes, and reports which limits the
// machine enforces.
//
// It promises:
//   - Every limit of a profile has one [events.LimitEffect]. It names the mechanism that
//     enforces the limit, or the reason why the limit is only advice.
//   - A program starts with all of its limits: it waits in [WaitAndExec] until they are
//     applied to its process.
//   - A control group is created inside the group of the process, so earlier limits still
//     apply. Systemd creates its scopes in system.slice instead.
//   - A revert restores the earlier values of an attached process or unit.
//   - Limits are applied only to the process that the request names: [Machine.Apply] compares
//     its start time and its owner before and after.
//   - [Machine] writes a durable note before it changes anything, so that a crash leaves no
//     limits that are unknown.
//
// There are four back ends: systemd, cgroup v2, cgroup v1, and the limits of a single
// process. [Detect] returns the first that is available. A back end is not safe for
// concurrent use.
package limits
