// Package cachekey gives the canonical intent key of a request in words: two
// requests with the same key ask for the same thing, whatever their words.
//
// It promises:
//
//   - Equality, never likeness. The key is built from the parts of a request that
//     bear its meaning – what is to be done, to what, in which version, with what
//     left out, in which direction, in which order – and two keys are equal or
//     not. There is no score and no threshold: every measure of likeness puts
//     "replace a with b" beside "replace b with a".
//   - Silence rather than a guess. A rewriting is made only where it keeps the
//     meaning; everything else stays as it was typed, and the keys differ. A
//     request that leans on something outside itself ("do it again") has no key.
//   - A pure function of the text and a [Vocabulary]. The same text and the same
//     vocabulary always give the same key, and the key of a key's own form is the
//     key again.
//
// What an answer depends on besides the words – release, architecture, hardware,
// package indexes – is not part of the key; the cache scopes by it.
package cachekey
