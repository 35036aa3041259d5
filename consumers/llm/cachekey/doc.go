// Package cachekey computes the canonical intent key of a request in English. Two
// requests with the same key ask for the same thing in different words.
//
// It promises:
//
//   - Keys are equal or not; there is no similarity score. A key consists of the parts
//     of a request that have meaning: action, objects, versions, exclusions, direction,
//     order. A score would put "replace a with b" next to "replace b with a".
//   - A rewriting is made only if it keeps the meaning. All other words stay unchanged,
//     and the keys differ. A request that refers to something outside itself ("do it
//     again") has no key.
//   - A key is a pure function of the text and a [Vocabulary]. The key of a key's own
//     form is the same key.
//
// Other inputs of an answer (release, architecture, hardware, package indexes) are not
// part of the key; the scope of the cache has them.
package cachekey
