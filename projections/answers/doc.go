// Package answers is the read model of what models have answered, so that nobody
// pays twice for one question.
//
// It promises:
//
//   - An answer is found only in the [Scope] it was given in – release,
//     architecture, hardware, package indexes, schema – by its exact key or by the
//     canonical intent key of package consumers/llm/cachekey. Keys are compared for
//     equality; nothing is ever found because it looks alike.
//   - Answers leave: when they are older than [TTL] by the log's own times, when
//     they are together more than [MaxBytes] (the one used longest ago first), when
//     one is given anew, and when somebody asks for it to be forgotten.
//   - Reading never writes. Uses come as facts, many in one, and only then move an
//     answer forward in the order of leaving.
//   - The same log gives the same rows: limits are constants, and time is the
//     records' own.
//
// What is served is a recorded intent, not a command: whoever uses it plans it
// anew and asks policy anew.
package answers
