// Package answers is the read model of the answers of language models. It is the cache that
// avoids paying twice for the same question.
//
// It promises:
//
//   - A lookup finds an answer only in the [Scope] of the original question: release,
//     architecture, hardware, package indexes, schema. It compares the exact key or the
//     canonical key of package consumers/llm/cachekey for equality. It never searches by
//     similarity.
//   - An answer is deleted when it is older than [TTL] by the times in the log, when the
//     answers together exceed [MaxBytes] (the least recently used first), when a new
//     answer has the same exact key, and when a user deletes it.
//   - A lookup writes nothing. A use of an answer is a fact of its own, and only that fact
//     changes the order of eviction.
//   - The same log creates the same rows: the limits are constants, and the time is that of
//     the records.
//
// A cached answer is a recorded intent, not a command. Its user plans it and checks policy
// again.
package answers
