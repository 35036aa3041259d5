// Package output shows things to people and programs.
//
// It promises: stdout gets the answer, stderr the conversation; no escape
// sequence goes where no terminal is; what comes from outside was cleaned before
// it got here and is shown in fixed places.
package output
