// Package stress holds tests of what many do at once: to the real log, the real read
// models, the real daemon. It has no code of its own.
//
// 'make stress' runs the long form, ten times as much, and prints figures; the short
// form runs with every other test.
package stress
