// Package usage is the read model of the calls of language models and their cost.
//
// It promises that it counts every call in the log once, including failed calls, and that
// the sums are exact: amounts are integers in micro-USD. A call of unknown price is
// counted separately, never as free.
//
// [Definition] defines the tables and [Reader] queries them in an open database.
package usage
