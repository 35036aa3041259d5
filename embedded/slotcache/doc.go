// Package slotcache keeps saved states of llama.cpp's slots, and says from a
// model's header what its cache of keys and values needs.
//
// An engine owns its tensors; nobody can pool them from outside. What helps is to
// keep what the engine itself saves over its /slots interface: a prompt that was
// processed once need not be processed again after a restart or in another slot.
// A [Pool] is a directory with a budget.
//
// It promises:
//
//   - Never a wrong state. An entry is keyed by the hash of the model's file, the
//     context settings and the very tokens; before a restore all of them and the
//     file's checksum are compared. What does not match is not restored.
//   - Safe to kill. An entry exists from the moment its index file is renamed into
//     place; a crash before loses that entry only, and what it left is swept by
//     whoever opens the pool next.
//   - Within its budget. A save evicts by the pool's policy (lru, lfu, fifo) what
//     is not pinned; one that cannot fit is refused. For the moment of a save the
//     new state lies beside the old ones.
//   - Only its own files are touched, told by their names.
//   - One process changes a pool at a time; others wait for it.
//
// Sizes are bytes. A pool is a cache: it is no part of the history and can be
// destroyed at any time.
package slotcache
