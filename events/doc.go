// Package events is the vocabulary that every other part of Cortex shares:
// requests, which ask for something; facts, which have happened; the stored form of
// both; and the pure rules that turn a sequence of facts into a state.
//
// It promises:
//
//   - No effects. The package reads no clock, file, socket or randomness and
//     imports only the standard library. The same input has the same output.
//   - Closed sets. [Fact] and [Request] are sealed interfaces. Each kind is a
//     versioned string with one line in the [Registry] and a golden JSON file in
//     testdata that is never edited.
//   - Strict writers, tolerant readers. An unknown kind or field is refused in a
//     request and in a fact that is appended. [Decode] ignores unknown fields and
//     returns [UnknownFact] for an unknown kind.
//   - One order. A fact's [Position] in its host's log is its place in history.
//     Times are information and order nothing.
//   - One contract for the log. [Log] is implemented by the embedded server and, in
//     memory, by package memlog. Package logtest is the suite that both pass.
package events
