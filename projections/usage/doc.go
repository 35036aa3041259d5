// Package usage is the read model of what models were asked and what it cost.
//
// It promises that every call of the log is counted once, failed ones, too, and
// that amounts add up to the micro-dollar: they are integers from the first fact to
// the last sum. A call whose price is not known is counted apart and never as free.
//
// [Projection] writes it; [Reader] answers from nothing but an open database.
package usage
