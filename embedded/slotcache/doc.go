// Package slotcache stores the states of llama.cpp's slots. It also computes from a model's
// header how much memory its key-value cache needs.
//
// llama-server saves and restores the state of a slot over its /slots interface. With a saved
// state, a prompt that was processed once is not processed again after a restart or in
// another slot. A [Pool] is a directory of saved states with a budget.
//
// It promises:
//
//   - A wrong state is never restored. The key of an entry is the hash of the model file, the
//     context settings and the tokens. A restore compares all of them and the checksum of
//     the state file.
//   - A process can be killed at any time. An entry exists once its index file is renamed
//     into place. A crash before that loses this entry only, and the next Open removes the
//     remains.
//   - A pool stays within its budget. A save evicts unpinned entries by the pool's policy
//     (lru, lfu, fifo). A state that does not fit is refused. During a save the new state
//     exists in addition to the old ones.
//   - A pool changes only its own files, which it recognizes by their names.
//   - One process changes a pool at a time. Others wait.
//
// Sizes are in bytes. A pool is a cache: the history does not depend on it, and it can be
// destroyed at any time.
package slotcache
