// Package memory is the read model of what this machine has learnt about its
// people: what they said they prefer, what they chose for which words, and what
// failed and what worked later.
//
// It promises:
//
//   - Everything rests on facts: each [RememberedItem] and each [Suggestion] names the events
//     it is from.
//   - A choice counts once its transaction succeeded, and no longer counts once that
//     was undone.
//   - What a person said is kept as the log has it, sealed. Whoever holds no key
//     reads that it is forgotten; so does everybody once the key is destroyed.
//   - Recording a fact takes the same work however long the history is.
//   - A memory that was forgotten does not come back from facts before that.
//
// [Projection] writes it; [Reader] answers. The names of entries are the letter of
// their kind and the position of the fact they began with: p12, c34, f56.
package memory
