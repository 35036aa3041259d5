// Package limits is the read model of limits: the profiles that were set, each as it
// was set last, and every group of processes that was put under limits, with what
// was enforced and how it ended.
//
// It promises to give back what the log holds. A group whose program died together
// with the command that watched it has no end on record; who asks the machine learns
// that it is gone.
//
// [Projection] writes it; [Reader] answers from nothing but an open database. The
// JSON form of what a Reader returns is a public contract of version
// [FormatVersion]: fields are added, never renamed or removed.
package limits
