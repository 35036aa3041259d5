// Package stress tests and measures concurrent use of the real log and the real read
// models. The package has no other code.
//
// 'make stress' runs the long form, which is ten times as long, and prints figures. The short
// form runs with all other tests.
package stress
