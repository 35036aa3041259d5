// Package events is the vocabulary that every other part of Cortex shares: what
// can be asked for (requests), what has happened (facts), how both are written
// down, and the pure rules that give a sequence of facts its meaning.
//
// It promises:
//
//   - No effects. Nothing here reads a clock, a file, a socket or randomness;
//     only the standard library is imported. The same input always gives the
//     same output.
//   - Closed sets. [Fact] and [Request] are sealed interfaces; every kind is a
//     versioned string with a golden JSON file in testdata that is never edited.
//     Decoding and encoding again is the identity.
//   - One order. A fact's [StreamPosition] in its host's log is its place in history;
//     times are information and never order anything.
//   - One contract for the log. [Log] is implemented by the broker and, in
//     memory, by package memlog; package logtest holds the suite both pass.
package events
