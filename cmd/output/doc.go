// Package output prints results for people.
//
// It promises that escape sequences go only to a terminal, that each function prints one type of
// result, and that the values in a result do not move the cursor: text from outside this program
// is sanitized.
package output
